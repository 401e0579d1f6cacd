// Injected into a page of benchmarks by the test, after the page's script. Uses the page like a reader and posts its
// measurements to the enclosing page.
(async () => {
  const all = selector => [...document.querySelectorAll(selector)];
  const column = name => all('#table th').findIndex(head => head.textContent === name);
  const cells = name => all('#table tbody tr').map(row => row.children[column(name)].textContent);
  const numbers = name => cells(name).map(Number).filter(Number.isFinite);
  const sort = name => all('#table th button')[column(name)].click();
  const control = label => all('#controls label').find(one => one.firstChild.textContent === label).querySelector('select, input');
  const set = (label, value) => {
    const one = control(label);
    one.value = value;
    one.dispatchEvent(new Event(one.tagName === 'INPUT' ? 'input' : 'change'));
  };
  const found = {
    rows: all('#table tbody tr').length,
    groups: all('#bars .card').length,
    bars: all('#bars .bar').length,
    failed: all('#bars .failed').length,
    rooflines: all('#rooflines svg').length,
  };
  sort('ms');
  found.rising = numbers('ms');
  sort('ms');
  found.falling = numbers('ms');
  set('contains', '2x2x16x8 passed');
  found.filtered = all('#table tbody tr').length;
  set('contains', '');
  set('machine', '1');
  found.of_machine = all('#table tbody tr').length;
  set('machine', '');
  set('baseline', 'ketformer');
  set('on', '0');
  set('kernel', 'ketformer');
  sort('machine');
  found.ratios = numbers('ratio');
  set('kernel', '');
  const contrasts = all('h1, h2, h3, p, dt, dd, th button, td, caption, a, label, .bar span')
    .filter(one => one.textContent.trim())
    .map(one => [contrast(one), one.textContent.trim().slice(0, 30)])
    .sort((a, b) => a[0] - b[0]);
  parent.postMessage(JSON.stringify({
    ...found, errors: window.mistakes, contrast: contrasts[0], scrolled: document.documentElement.scrollWidth,
  }), '*');
})().catch(mistake => parent.postMessage(JSON.stringify({ errors: [String(mistake)] }), '*'));
