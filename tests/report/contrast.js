// Contrast of the text of an element with what is behind it, as WCAG defines it. Injected before the other scripts.
const rgb = color => color.match(/[\d.]+/g).map(Number);
const luminance = color => {
  const [r, g, b] = rgb(color).map(part => part / 255).map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (rgb(color)[3] !== 0) return color;
  }
  return 'rgb(255, 255, 255)';
};
const contrast = element => {
  const style = getComputedStyle(element);
  const front = element instanceof SVGElement ? style.fill : style.color;
  const [light, dark] = [luminance(front), luminance(behind(element))].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
};
