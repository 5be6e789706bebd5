// Makes and changes what is on the page; text is only ever text, whatever a room or a meeting is called.

/** An element with a class, attributes and children; strings become text. */
export function make(tag, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  if (text !== undefined) element.textContent = text;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** One of the page's shapes; it says nothing to those who do not see it, so words must stand beside it. */
export function shape(name) {
  const SVG = "http://www.w3.org/2000/svg";
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("class", "shape");
  drawn.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#shape-${name}`);
  drawn.append(use);
  return drawn;
}

/** Another of the shapes in the same place. */
export function reshape(drawn, name) {
  set(drawn.firstElementChild, "href", `#shape-${name}`);
}

/** Sets a text where it is another: what stays the same is not told again by a screen reader. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute where it is another; null and false take it away, true leaves it bare. */
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value === true ? "" : value)) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

/** Shows an element with this text, or nothing at all. */
export function show(element, text) {
  element.hidden = !text;
  if (text) say(element, text);
}

/** Brings these children into this order, moves as few as it can, and leaves the focus where it is. */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
}
