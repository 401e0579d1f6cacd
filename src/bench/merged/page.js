'use strict';
(() => {
  const byId = id => document.getElementById(id);
  const { machines, rows, baseline } = JSON.parse(byId('data').textContent);

  // Element with properties and children; texts are never markup.
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const distinct = values => [...new Set(values)];
  // Three significant digits.
  const digits = value => {
    if (value === null || value === undefined) return '–';
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(1).replace('-', '−');
    const decimals = size === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(size)));
    return value.toFixed(decimals).replace('-', '−');
  };
  const quotient = (a, b) => a !== null && b ? a / b : null;

  const kernels = distinct(rows.map(row => row.kernel));
  const color = row => `var(--k${kernels.indexOf(row.kernel) % 7})`;
  const letter = row => machines[row.machine][0];
  // Attention kernels do the same work at a shape; a kernel of another subject is compared with itself.
  const work = row => row.pass ? '' : row.kernel;
  const problem = row => [row.shape, row.variant, row.dtype, work(row)].join('\n');

  // Controls.
  const choice = (label, options, chosen) => {
    const select = make('select', {}, ...options.map(([value, text]) => make('option', { value, textContent: text })));
    if (chosen !== undefined) select.value = chosen;
    byId('controls').append(make('label', {}, label, select));
    select.addEventListener('change', show);
    return select;
  };
  const all = (text, values) => [['', text], ...values.map(value => [String(value), value])];
  const named = machines.map(([name, adapter], at) => [String(at), `${name} ${adapter}`]);
  const words = make('input', { type: 'search', placeholder: '1x8x512 causal' });
  words.addEventListener('input', () => show());
  byId('controls').append(make('label', {}, 'contains', words));
  const machine = choice('machine', [['', 'all'], ...named]);
  const kernel = choice('kernel', all('all', kernels));
  const variant = choice('variant', all('all', distinct(rows.map(row => row.variant))));
  const dtype = choice('type', all('all', distinct(rows.map(row => row.dtype)).filter(Boolean)));
  const reference = choice('baseline', kernels.map(name => [name, name]), baseline);
  const on = choice('on', [['', 'the same machine'], ...named]);
  byId('controls').addEventListener('submit', event => event.preventDefault());

  const text = row => [...machines[row.machine], row.kernel, row.variant, row.shape, row.dtype, row.status].join(' ').toLowerCase();
  const chosen = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter(row =>
      (!machine.value || row.machine === Number(machine.value)) && (!kernel.value || row.kernel === kernel.value) &&
      (!variant.value || row.variant === variant.value) && (!dtype.value || row.dtype === dtype.value) &&
      wanted.every(word => text(row).includes(word)));
  };
  // Time of the baseline at the same problem divided by that of the row.
  const ratio = row => {
    const at = on.value ? Number(on.value) : row.machine;
    const base = rows.find(other => other.machine === at && problem(other) === problem(row) &&
      other.kernel === (row.pass ? reference.value : row.kernel) && other.median_ms !== null);
    return base ? quotient(base.median_ms, row.median_ms) : null;
  };

  // Bars, one figure per problem.
  const bar = (row, most) => {
    const label = make('span', { className: 'label', title: `${machines[row.machine].join(' ')}, ${row.kernel}` });
    if (machines.length > 1) label.append(make('b', {}, letter(row)), ' ');
    label.append(row.kernel);
    const line = make('div', { className: 'bar' }, label);
    if (row.median_ms === null) {
      const failed = row.status === 'UNSUPPORTED' ? 'none' : 'failed';
      line.append(make('span', { className: failed, title: row.error ?? '' }, row.status), make('span', { className: 'value' }, '–'));
      return line;
    }
    const share = ms => 100 * ms / most;
    const length = make('i');
    length.style.width = `${share(row.median_ms)}%`;
    length.style.background = color(row);
    const track = make('div', { className: 'track' }, length);
    if (row.quartiles_ms) {
      const [low, high] = row.quartiles_ms;
      const noise = make('b');
      noise.style.left = `${share(low)}%`;
      noise.style.width = `max(2px, ${share(high - low)}%)`;
      track.append(noise);
    }
    const times = ratio(row);
    const value = make('span', { className: 'value' }, `${digits(row.median_ms)} ms `);
    value.append(make('span', {}, times === null ? '' : `(${digits(times)}×)`));
    line.append(track, value);
    return line;
  };
  const bars = shown => {
    const groups = new Map();
    shown.forEach(row => groups.set(problem(row), [...groups.get(problem(row)) ?? [], row]));
    const figures = [...groups.values()].map(group => {
      const [first] = group;
      const most = Math.max(...group.map(row => Math.max(row.median_ms ?? 0, row.quartiles_ms?.[1] ?? 0)));
      const order = [...group].sort((a, b) => a.machine - b.machine || (a.median_ms ?? Infinity) - (b.median_ms ?? Infinity));
      const name = make('h3', {}, work(first) ? `${work(first)} ` : '', first.shape, ' ');
      name.append(make('span', {}, [first.variant, first.dtype].filter(Boolean).join(' · ')));
      return make('div', { className: 'card' }, name, ...order.map(row => bar(row, most)));
    });
    byId('bars').replaceChildren(...figures);
  };

  // Table.
  const columns = [
    ['machine', letter, 'word'],
    ['kernel', row => row.kernel, 'word'],
    ['variant', row => row.variant, 'word'],
    ['shape', row => row.shape, 'word'],
    ['type', row => row.dtype || null, 'word'],
    ['status', row => row.status, 'word'],
    ['ms', row => row.median_ms],
    ['spread %', row => row.spread === null ? null : 100 * row.spread],
    ['cold ms', row => row.cold_ms],
    ['ratio', ratio],
    ['GFLOP/s', row => row.gflops],
    ['of all pairs', row => quotient(row.flops_of_all_pairs, row.median_ms === null ? null : 1e6 * row.median_ms)],
    ['GB/s', row => row.gbytes_per_s],
    ['FLOP/B', row => row.intensity],
    ['% peak', row => row.percent_of_peak],
    ['max. error', row => row.max_error],
    ['same bits', row => row.deterministic === null ? null : row.deterministic ? 'yes' : 'no', 'word'],
    ['runs', row => row.runs || null],
    ['clock', row => row.clock, 'word'],
    ['launched or error', row => row.error ?? (row.launched || null), 'word long'],
  ];
  const used = columns.filter(([, value]) => rows.some(row => value(row) !== null && value(row) !== undefined));
  let [order, direction] = [null, 1];
  const compare = (a, b) => {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    return direction * (typeof a === 'number' ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  };
  const table = shown => {
    const sorted = order === null ? shown : [...shown].sort((a, b) => compare(used[order][1](a), used[order][1](b)));
    const heads = used.map(([name, , style = ''], at) => {
      const button = make('button', { type: 'button' }, name);
      button.addEventListener('click', () => {
        direction = order === at ? -direction : 1;
        order = at;
        show();
        byId('table').querySelectorAll('th button')[at].focus();
      });
      const head = make('th', { scope: 'col', className: style }, button);
      head.setAttribute('aria-sort', order !== at ? 'none' : direction > 0 ? 'ascending' : 'descending');
      return head;
    });
    const cell = (row, [name, value, style = '']) => {
      const found = value(row);
      const failed = name === 'status' && !['PASSED', 'UNSUPPORTED'].includes(found) ? ' failed' : '';
      const content = typeof found === 'number' && name !== 'runs' ? digits(found) : String(found ?? '–');
      return make('td', { className: style + failed, title: style.includes('long') ? content : '' }, content);
    };
    const body = sorted.map(row => make('tr', {}, ...used.map(column => cell(row, column))));
    const caption = make('caption', {}, `${shown.length} of ${rows.length} rows; a click on a column sorts by it`);
    byId('table').replaceChildren(
      make('table', {}, caption, make('thead', {}, make('tr', {}, ...heads)), make('tbody', {}, ...body)));
  };

  function show() {
    const shown = chosen();
    bars(shown);
    table(shown);
  }
  show();
})();
