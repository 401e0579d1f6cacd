// Injected into a page by the test, after the page's script. Uses the page like a reader and posts its measurements to
// the enclosing page.
(async () => {
  const text = id => document.getElementById(id)?.textContent ?? null;
  const colors = selector => [...document.querySelectorAll(selector)]
    .map(one => `${one.getAttribute('class')} ${one.getAttribute('fill-opacity')}`).join(',');
  const opacities = () => [...document.querySelectorAll('[data-tile]')].map(one => Number(one.getAttribute('fill-opacity')));
  const hues = () => [...document.querySelectorAll('[data-tile]')]
    .map(one => Number(one.getAttribute('fill-opacity')) > 0.02 ? one.getAttribute('class') : '').join();

  // Wait until the images are loaded, as a reader would.
  if (document.readyState !== 'complete') await new Promise(done => addEventListener('load', done));
  const before = { sites: colors('#correlation-lattice [data-choice]'), tiles: colors('[data-tile]') };
  const click = element => element?.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  const sites = document.querySelectorAll('#correlation-lattice [data-choice]');
  const patches = document.querySelectorAll('#patch-key [data-choice]');
  const begun = {
    patch: [...patches].findIndex(one => one.getAttribute('aria-checked') === 'true'),
    opacities: opacities(),
    hues: hues(),
  };
  click(sites[0]);
  click(patches[1]);
  const after = { sites: colors('#correlation-lattice [data-choice]'), tiles: colors('[data-tile]') };
  const named = { site: text('correlation-reference'), patch: text('chosen-patch') };
  sites[0]?.focus();
  sites[0]?.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true, cancelable: true }));

  // Patches can also be chosen by arrow keys and by a click on a row of a matrix.
  patches[1]?.focus();
  if (patches[1]) ['ArrowUp', 'ArrowLeft'].forEach(key =>
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })));
  const moved = text('chosen-patch');
  const map = document.querySelector('#attention-heads .map');
  const border = map?.querySelector('.border').getBoundingClientRect();
  map?.dispatchEvent(new MouseEvent('click', { bubbles: true, clientY: border.top + 1.5 * border.height / patches.length }));
  const row = text('chosen-patch');

  // With the initial patch chosen again, the weights read from the images equal those written into the page.
  click(patches[begun.patch]);
  const off = Math.max(0, ...opacities().map((opacity, at) => Math.abs(opacity - begun.opacities[at])));
  const hue = hues() === begun.hues;

  const figures = [...document.querySelectorAll('figure')].map(figure => {
    const box = figure.getBoundingClientRect();
    const drawn = figure.querySelectorAll('circle, rect, path, polyline, line, image, use, i').length;
    return { caption: figure.querySelector('figcaption').textContent.slice(0, 60), width: box.width, height: box.height, drawn,
      words: figure.querySelector('figcaption').textContent.trim().length };
  });
  // Labels of axes must not overlap.
  const overlaps = [];
  document.querySelectorAll('svg').forEach(svg => {
    const boxes = [...svg.querySelectorAll('text')].map(one => [one.textContent.trim(), one.getBoundingClientRect()]);
    boxes.forEach(([a, p], at) => boxes.slice(at + 1).forEach(([b, q]) => {
      const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (wide > 1 && high > 4) overlaps.push(`${a} | ${b}`);
    }));
  });
  // No plot extends beyond its figure or overlaps another one.
  const misplaced = [];
  document.querySelectorAll('figure').forEach(figure => {
    const around = figure.getBoundingClientRect();
    const boxes = [...figure.querySelectorAll('svg, .legend, table')].map(one => one.getBoundingClientRect());
    boxes.forEach((p, at) => {
      if (p.left < around.left || p.right > around.right || p.bottom > around.bottom) misplaced.push('outside');
      boxes.slice(at + 1).forEach(q => {
        if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 1) misplaced.push('over another');
      });
    });
  });
  const contrasts = [...document.querySelectorAll('h1, h2, p, dt, dd, figcaption, th, td, caption, a, pre, button, .legend span, svg text')]
    .filter(one => one.textContent.trim())
    .map(one => [contrast(one), one.textContent.trim().slice(0, 30)])
    .sort((a, b) => a[0] - b[0]);
  const letters = [...document.querySelectorAll('.chart svg text')].map(one => one.getBoundingClientRect().height).filter(Boolean);
  parent.postMessage(JSON.stringify({
    figures, before, after, named, moved, row, overlaps, misplaced, off, hue, errors: window.mistakes,
    arrow: text('correlation-reference'),
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    width: innerWidth, scrolled: document.documentElement.scrollWidth, height: document.body.offsetHeight,
    contrast: contrasts[0], letters: Math.min(...letters),
  }), '*');
})().catch(mistake => parent.postMessage(JSON.stringify({ errors: [String(mistake)] }), '*'));
