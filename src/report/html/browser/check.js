// Looks at the page from inside. Gives what is wrong with it, in words. `charts`: the names that must be there; `width`: of the
// window, CSS pixels.
(charts, width) => {
  const found = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const where = (element) => {
    const name = element.id ? `#${element.id}` : element.className && element.className.baseVal === undefined ? `.${element.className}` : '';
    return `<${element.tagName.toLowerCase()}${name}> ${(element.textContent || '').trim().slice(0, 40)}`;
  };
  all('details').forEach((details) => { details.open = true; });

  // Nothing but a box that is meant to may scroll sideways.
  const page = document.documentElement;
  const wide = Math.max(page.scrollWidth, document.body.scrollWidth);
  if (wide > width) {
    const inABox = (element) => element.parentElement && element.parentElement.closest('.scroll');
    const guilty = all('body *').find((element) => element.getBoundingClientRect().right > width + 1 && !inABox(element));
    found.push(`the page scrolls sideways: ${wide} px wide; ${guilty ? where(guilty) : ''}`);
  }
  for (const box of all('.scroll')) {
    if (box.scrollWidth > box.clientWidth + 1 && box.tabIndex < 0) found.push(`a box that scrolls cannot be reached by keyboard: ${where(box)}`);
    if (box.getAttribute('role') === 'region' && !box.getAttribute('aria-label')) found.push(`a region has no name: ${where(box)}`);
  }

  // Charts and images.
  for (const name of charts) {
    const figure = document.getElementById(`chart-${name}`);
    if (!figure) { found.push(`chart ${name} is missing`); continue; }
    const drawing = figure.querySelector('svg');
    const box = drawing && drawing.getBoundingClientRect();
    if (!drawing) found.push(`chart ${name} has no drawing`);
    else if (box.width < 300 || box.height < 100) found.push(`chart ${name} is drawn ${box.width} by ${box.height} px`);
    else if (drawing.querySelectorAll('*').length < 4) found.push(`chart ${name} is empty`);
    if (!figure.querySelector('figcaption')) found.push(`chart ${name} has no caption`);
  }
  for (const image of all('img')) {
    if (!image.complete || image.naturalWidth === 0) found.push(`broken image: ${image.alt}`);
    if (!image.hasAttribute('alt')) found.push(`an image has no alternative text: ${image.src.slice(0, 60)}`);
  }
  for (const drawing of all('svg')) {
    if (drawing.getAttribute('role') !== 'img' || !drawing.getAttribute('aria-label')) found.push(`a drawing has no name: ${where(drawing.closest('figure') || drawing)}`);
  }

  // What a screen reader goes by.
  if (!document.title || !page.lang) found.push('the page has no title or no language');
  if (all('h1').length !== 1) found.push(`the page has ${all('h1').length} first headings`);
  let level = 0;
  for (const heading of all('h1, h2, h3, h4')) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push(`a heading skips a level: ${where(heading)}`);
    level = next;
  }
  for (const cell of all('th')) {
    if (!cell.getAttribute('scope')) found.push(`a header cell without scope: ${where(cell)}`);
  }
  for (const table of all('table')) {
    if (!table.querySelector('th')) found.push(`a table without headers: ${where(table)}`);
  }

  // Contrast of text (WCAG 2, AA): 4.5, and 3 for large text.
  const parse = (text) => {
    const [r, g, b, a = 1] = (text.match(/[\d.]+/g) || ['0', '0', '0', '0']).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => ({
    r: top.r * top.a + below.r * (1 - top.a),
    g: top.g * top.a + below.g * (1 - top.a),
    b: top.b * top.a + below.b * (1 - top.a),
    a: 1,
  });
  const behind = (element) => {
    if (!element) return { r: 255, g: 255, b: 255, a: 1 };
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.a === 1 ? own : over(own, behind(element.parentElement));
  };
  const luminance = ({ r, g, b }) => {
    const part = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const seen = new Set();
  for (const element of all('body *')) {
    const ownText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!ownText || element.closest('svg')) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const ink = over(parse(style.color), ground);
    const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const kind = `${style.color} on ${style.backgroundColor}`;
    if (ratio < (large ? 3 : 4.5) && !seen.has(kind)) {
      seen.add(kind);
      found.push(`contrast ${ratio.toFixed(2)}: ${where(element)}`);
    }
  }
  return found;
}
