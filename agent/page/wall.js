// A wall screen: as many rooms as can be read from afar, all of them in turn, awake for ever.

const TILE = { wide: 15, high: 6.6 }; // in ems of a tile: what its words need
const SMALLEST = 1 / 76; // of the screen's shorter side: text that can be read from across a corridor
const LARGEST = 1 / 26;
const GAP = 0.55; // ems between tiles
const TURN_MS = 12_000;

/** Lays cards out so that they fill the place, in pages where they would be too small to read. */
export class Wall {
  #list;
  #pages;
  #page = 0;
  #turning = 0;

  constructor(list, pages) {
    this.#list = list;
    this.#pages = pages;
    new ResizeObserver(() => this.lay()).observe(list);
    addEventListener("resize", () => this.lay());
    stayAwake();
  }

  lay() {
    const cards = [...this.#list.children];
    const { clientWidth: width, clientHeight: height } = this.#list;
    if (!cards.length || !width || !height) return;
    const [least, most] = [SMALLEST, LARGEST].map((part) => Math.max(11, part * Math.min(innerHeight, innerWidth)));
    const fitting = capacity(width, height, least);
    const pages = Math.ceil(cards.length / fitting);
    const each = Math.ceil(cards.length / pages);
    const { columns, em } = best(width, height, each, most);
    this.#list.style.setProperty("--columns", columns);
    this.#list.style.setProperty("--rows", Math.ceil(each / columns));
    this.#list.style.setProperty("--em", `${em.toFixed(2)}px`);
    this.#page %= pages;
    cards.forEach((card, index) => {
      card.hidden = Math.floor(index / each) !== this.#page;
    });
    this.#pages.hidden = pages < 2;
    this.#pages.textContent = `${this.#page + 1} of ${pages}`;
    clearTimeout(this.#turning);
    if (pages > 1) {
      this.#turning = setTimeout(() => {
        this.#page += 1;
        this.lay();
      }, TURN_MS);
    }
  }
}

function capacity(width, height, em) {
  const columns = Math.max(1, Math.floor(width / ((TILE.wide + GAP) * em)));
  const rows = Math.max(1, Math.floor(height / ((TILE.high + GAP) * em)));
  return columns * rows;
}

/** The number of columns at which the words can be largest. */
function best(width, height, many, most) {
  let found = { columns: 1, em: 0 };
  for (let columns = 1; columns <= many; columns += 1) {
    const rows = Math.ceil(many / columns);
    const em = Math.min(width / columns / (TILE.wide + GAP), height / rows / (TILE.high + GAP), most);
    if (em > found.em + 0.01) found = { columns, em };
  }
  return found;
}

/** Where the browser lets a page keep the screen on; others are told by their own settings (docs/page.md). */
function stayAwake() {
  const ask = () => {
    if (document.visibilityState === "visible") navigator.wakeLock?.request("screen").catch(() => {});
  };
  document.addEventListener("visibilitychange", ask);
  ask();
}
