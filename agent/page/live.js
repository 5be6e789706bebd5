// Keeps the page told: reads everything, then hears of changes; when the line is lost, says so and tries for ever.

const SILENCE_MS = 30_000; // roomd says something every 15 to 20 s
const RESTS_MS = [500, 1000, 2000, 4000, 5000];
const WORTH_A_WORD_MS = 300;
const ANSWER_WITHIN_MS = 10_000;

/** What roomd answered instead of what was asked for; `mend` says what to do. */
export class Refused extends Error {
  constructor(status, { error, mend } = {}) {
    super(error || `roomd answered ${status}`);
    this.status = status;
    this.mend = mend || "";
  }
}

/** The answer to a question. Throws `Refused`, or what `fetch` throws when nobody answers. */
export async function ask(path) {
  const answer = await fetch(path, {
    headers: { accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const body = await answer.json().catch(() => undefined);
  if (!answer.ok || body === undefined) throw new Refused(answer.status, body);
  return body;
}

/**
 * Lives from `/api/events`.
 *
 * `hear` gets `{ site, rooms }` after every (re)connection, and `{ site }`, `{ room }` or `{ there }`, the ids of
 * all rooms, afterwards;
 * `lost` is called whenever nobody answers, with the `Refused` where somebody did and said no.
 */
export class Live {
  #source = null;
  #failures = 0;
  #retry = 0;
  #silence = 0;
  #turn = 0; // what an earlier connection still says is not listened to
  #behind = null; // what changes while everything is read, to be told after it
  #hear;
  #lost;

  constructor({ hear, lost }) {
    this.#hear = hear;
    this.#lost = lost;
    const again = () => this.#source?.readyState !== EventSource.OPEN && this.connect();
    addEventListener("online", again);
    addEventListener("pageshow", (event) => event.persisted && this.connect());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && again());
  }

  connect() {
    this.#close();
    this.#behind = [];
    const turn = ++this.#turn;
    const source = new EventSource("/api/events");
    this.#source = source;
    this.#still();
    const on = (name, act) =>
      source.addEventListener(name, (event) => {
        if (turn !== this.#turn) return;
        this.#still();
        act(event.data ? JSON.parse(event.data) : null);
      });
    source.addEventListener("open", () => turn === this.#turn && this.#readAll(turn));
    source.addEventListener("error", () => turn === this.#turn && this.#fail(null));
    const change = (what) => (this.#behind ? this.#behind.push(what) : this.#hear(what));
    on("room", (room) => change({ room }));
    on("rooms", ({ rooms }) => change({ there: rooms }));
    on("site", (site) => change({ site }));
    on("fact", () => {});
    on("missed", () => this.#readAll(turn));
  }

  async #readAll(turn) {
    this.#behind = [];
    try {
      const [site, { rooms, at }] = await Promise.all([ask("/api/site"), ask("/api/rooms")]);
      if (turn !== this.#turn) return;
      this.#failures = 0;
      this.#still();
      this.#hear({ site, rooms, at });
      for (const what of this.#behind.splice(0)) this.#hear(what);
      this.#behind = null;
    } catch (error) {
      if (turn === this.#turn) this.#fail(error);
    }
  }

  /** All seats for listeners may be taken: then the page asks as often as it tries. */
  async #readOnce(turn) {
    const [site, { rooms, at }] = await Promise.all([ask("/api/site"), ask("/api/rooms")]).catch(() => [null, {}]);
    if (site && turn === this.#turn) this.#hear({ site, rooms, at });
  }

  #still() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#fail(null), SILENCE_MS);
  }

  async #fail(error) {
    this.#close();
    const turn = ++this.#turn;
    if (error === null) {
      // An EventSource does not say why: ask, for a line that broke is not a roomd that is gone.
      const silent = setTimeout(() => turn === this.#turn && this.#lost(null), WORTH_A_WORD_MS);
      error = await ask("/api/site").then(() => null, (why) => why);
      clearTimeout(silent);
      if (error === null && this.#failures && turn === this.#turn) await this.#readOnce(turn);
    }
    if (turn !== this.#turn) return;
    if (error !== null) this.#lost(error instanceof Refused ? error : null);
    const rest = RESTS_MS[Math.min(this.#failures++, RESTS_MS.length - 1)];
    this.#retry = setTimeout(() => this.connect(), rest * (0.75 + Math.random() / 2));
  }

  #close() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#source = null;
  }
}
