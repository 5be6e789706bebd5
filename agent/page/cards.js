// All rooms at a glance: a card each, which changes in its place so that nobody loses theirs.

import { make, reshape, say, set, shape, show } from "./elements.js";
import { span } from "./times.js";
import { conditionOf, nameOf, peopleOf, statusOf, titleOf, troubleOf, wallWords } from "./words.js";

/** A room's card; `tell` brings it up to date. */
export class Card {
  #parts;
  #kiosk; // passers-by need not read why a device is not heard, nor its address

  constructor(room, { kiosk, query }) {
    this.#kiosk = kiosk;
    const name = kiosk
      ? make("span", { class: "card-link" })
      : make("a", { class: "card-link", href: `/room/${encodeURIComponent(room.room)}${query}` });
    const line = (kind, sign) => {
      const words = make("span", {});
      return { words, row: make("p", { class: `card-line card-${kind}` }, shape(sign), words) };
    };
    const parts = {
      name,
      badge: shape("unknown"),
      words: make("span", { class: "card-words" }),
      away: make("span", { class: "card-away" }),
      why: make("p", { class: "card-why low" }),
      who: make("span", { class: "low" }),
      title: make("span", {}),
      next: make("p", { class: "card-next" }),
      hold: line("hold", "held"),
      trouble: line("trouble", "trouble"),
      people: people(),
    };
    parts.now = make("p", { class: "card-now" }, parts.title, parts.who);
    this.#parts = parts;
    this.element = make(
      "li",
      { class: "card", "data-room": room.room },
      make("span", { class: "badge", "aria-hidden": "true" }, parts.badge),
      make(
        "div",
        { class: "card-head" },
        make("h3", { class: "card-name" }, name),
        parts.people.row,
      ),
      make("p", { class: "card-state" }, parts.words, " ", parts.away),
      make(
        "div",
        { class: "card-lines" },
        parts.why,
        parts.now,
        parts.hold.row,
        parts.next,
        parts.trouble.row,
      ),
    );
  }

  /** The room as roomd told it; where that is the past, `now` is then, and `asOf` how a clock showed it. */
  tell(room, time, { asOf, now }) {
    const parts = this.#parts;
    const condition = conditionOf(room);
    set(this.element, "data-condition", condition);
    reshape(parts.badge, condition);
    say(parts.name, nameOf(room));
    const { words, why } = statusOf(room);
    say(parts.words, this.#kiosk ? wallWords(room) : words);
    show(parts.why, this.#kiosk ? "" : why);
    show(parts.away, asOf ? `as of ${asOf}` : remaining(room, condition, now));
    parts.now.hidden = !room.current || (titleOf(room.current) === "Booked" && !room.current.organizer);
    if (room.current) {
      say(parts.title, titleOf(room.current));
      say(parts.who, room.current.organizer ? `, ${room.current.organizer}` : "");
    }
    const line = (part, text) => {
      part.row.hidden = !text;
      if (text) say(part.words, text);
    };
    const seats = peopleOf(room);
    parts.people.row.hidden = !seats;
    if (seats) {
      say(parts.people.number, String(seats.number));
      say(parts.people.of, ` ${seats.of}`);
      set(parts.people.of, "class", seats.of === "seats" ? null : "unseen");
      set(parts.people.row, "data-over", seats.over);
    }
    show(parts.next, room.next ? `Next ${starts(room.next, time, now)} ${titleOf(room.next)}` : "");
    line(parts.hold, held(room, condition, time, now));
    line(parts.trouble, troubleOf(room));
  }

  focus() {
    this.#parts.name.focus();
  }
}

function people() {
  const number = make("span", {});
  const of = make("span", {});
  const words = make("span", {}, number, of);
  return { number, of, row: make("p", { class: "card-line card-people" }, shape("person"), words) };
}

const starts = (booking, time, now) => time.told(Date.parse(booking.starts_at), now);

function remaining(room, condition, now) {
  if (!room.until || !["free", "booked", "held", "empty"].includes(condition)) return "";
  const left = Date.parse(room.until) - now;
  if (left <= 0 || left > 8 * 3_600_000) return "";
  return condition === "free" ? `for another ${span(left)}` : `${span(left)} left`;
}

function held(room, condition, time, now) {
  if (!room.hold) return "";
  const text = room.hold.text || "Held";
  return condition === "held" ? text : `${text}, until ${time.told(Date.parse(room.hold.ends_at), now)}`;
}

/** What of a change deserves to be told aloud: the condition, and no counting of people. */
export const aloud = (room) => `${nameOf(room)}: ${room.words}`;

