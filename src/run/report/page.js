'use strict';
(() => {
  document.documentElement.classList.add('scripting');
  const byId = id => document.getElementById(id);
  const shown = value => String(Number(value.toPrecision(3))).replace('-', '−');

  // Selection of one of several elements in a figure, by click, tap or arrow keys.
  const choices = (picture, chosen) => {
    const all = [...picture.querySelectorAll('[data-choice]')];
    const middles = all.map(one => {
      const box = one.getBBox();
      return [box.x + box.width / 2, box.y + box.height / 2];
    });
    const choose = (index, focus) => {
      all.forEach((one, at) => {
        one.setAttribute('aria-checked', at === index);
        one.setAttribute('tabindex', at === index ? 0 : -1);
      });
      if (focus) all[index].focus();
      chosen(index, all);
    };
    picture.addEventListener('click', event => {
      const one = event.target.closest('[data-choice]');
      if (one) choose(Number(one.dataset.choice), false);
    });
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    picture.addEventListener('keydown', event => {
      const direction = directions[event.key];
      const from = all.indexOf(document.activeElement);
      if (!direction || from < 0) return;
      event.preventDefault();
      // The nearest element in that direction; sideways distance counts double.
      let [nearest, least] = [from, Infinity];
      middles.forEach(([x, y], at) => {
        const [dx, dy] = [x - middles[from][0], y - middles[from][1]];
        const along = dx * direction[0] + dy * direction[1];
        const aside = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
        if (along > 1 && along + 2 * aside < least) [nearest, least] = [at, along + 2 * aside];
      });
      choose(nearest, true);
    });
    return choose;
  };

  const color = (element, opacity, positive) => {
    element.setAttribute('class', positive ? 'plus' : 'minus');
    element.setAttribute('fill-opacity', opacity.toFixed(2));
  };

  const correlations = () => {
    const picture = byId('correlation-lattice');
    const data = JSON.parse(byId('correlation-data').textContent);
    if (!picture || !data) return;
    choices(picture, (reference, sites) => {
      sites.forEach((site, at) => {
        const value = data.rows[Math.max(at, reference)][Math.min(at, reference)];
        if (at === reference) {
          site.setAttribute('class', 'reference');
          site.removeAttribute('fill-opacity');
        } else {
          color(site, Math.min(1, Math.abs(value ?? 0) / data.greatest), value > 0);
        }
        const name = site.getAttribute('aria-label');
        site.querySelector('title').textContent = `${name}: ${value === null ? 'unknown' : shown(value)}`;
      });
      byId('correlation-reference').textContent = sites[reference].getAttribute('aria-label');
    });
  };

  // The weights of a matrix are decoded from its image: opacities are square roots of relative magnitudes, hues are
  // signs.
  const weights = (image, size, greatest) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: size, height: size });
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0, size, size);
    const pixels = context.getImageData(0, 0, size, size).data;
    return Array.from({ length: size * size }, (_, at) => {
      const [red, , blue, alpha] = pixels.subarray(4 * at, 4 * at + 4);
      return (red > blue ? 1 : -1) * (alpha / 254) ** 2 * greatest;
    });
  };

  const attention = () => {
    const all = byId('attention-heads');
    const key = byId('patch-key');
    if (!all || !key) return;
    const start = Number(all.dataset.start);
    const size = key.querySelectorAll('[data-choice]').length;
    const greatest = Number(all.dataset.greatest);
    const signed = all.dataset.signed === 'true';
    const heads = [...all.querySelectorAll('.head')].map(element => ({
      element,
      matrix: null,
      tiles: [...element.querySelectorAll('[data-tile]')],
    }));
    const show = (head, patch) => {
      const { element, tiles } = head;
      head.matrix ??= weights(element.querySelector('.map image'), size, greatest);
      const row = head.matrix.slice(patch * size, (patch + 1) * size).map(weight => signed ? weight : Math.abs(weight));
      tiles.forEach(tile => {
        const first = tile.dataset.tile === 'start';
        const weight = first ? row[0] : row[Number(tile.dataset.tile) + start] ?? 0;
        color(tile, Math.sqrt(Math.abs(weight) / greatest), signed && weight > 0);
        if (!first) tile.querySelector('title').textContent = `P${tile.dataset.tile}: ${shown(Number(weight.toPrecision(2)))}`;
      });
      const marker = element.querySelector('.map .chosen');
      const border = element.querySelector('.map .border');
      marker.setAttribute('y', Number(border.getAttribute('y')) + patch * Number(marker.dataset.row) - Number(marker.dataset.around));
      element.querySelector('.row .chosen').setAttribute('href', `#patch-${patch}`);
      const most = row.reduce((best, weight, at) => Math.abs(weight) >= Math.abs(row[best]) ? at : best, 0);
      const name = start && most === 0 ? 'start' : `P${most - start}`;
      element.querySelector('output').textContent = `${name} ${shown(Number(row[most].toPrecision(2)))}`;
    };
    const choose = choices(key, patch => {
      byId('chosen-patch').textContent = `P${patch}`;
      heads.forEach(head => show(head, patch));
    });
    all.addEventListener('click', event => {
      const tile = event.target.closest('use[data-tile]');
      if (tile) return choose(Number(tile.dataset.tile), false);
      const map = event.target.closest('.map');
      if (!map) return;
      const border = map.querySelector('.border').getBoundingClientRect();
      const row = Math.floor((event.clientY - border.top) / border.height * size);
      if (row >= 0 && row < size) choose(row, false);
    });
  };

  const copying = () => {
    const [button, command] = [byId('copy'), byId('command')];
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(command.textContent);
        button.textContent = 'Copied';
      } catch {
        // Without permission to copy, the command is at least selected.
        getSelection().selectAllChildren(command);
        button.textContent = 'Selected';
      }
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    });
  };

  correlations();
  attention();
  copying();
})();
