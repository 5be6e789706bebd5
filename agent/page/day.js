// One room: how it is, whose word that is, and its day as a timeline that can be read as a list, too.

import { arrange, make, reshape, say, set, shape, show } from "./elements.js";
import { away, span } from "./times.js";
import {
  calendarOf,
  conditionOf,
  lineOf,
  nameOf,
  peopleOf,
  reasonsOf,
  sentence,
  statusOf,
  titleOf,
  troubleOf,
} from "./words.js";

const HOUR = 3_600_000;
const FIRST_HOUR = 7; // of the day that is drawn even when nothing is booked
const LAST_HOUR = 19;
const COVERED = HOUR / 3; // on either side of now: its mark lies over the hour's
const FEWEST_HOURS = 6;
const SHORTEST = HOUR / 4; // is drawn as long as this, to hold its words
const SHORTEST_AT_A_DOOR = HOUR / 2;

/** A room's page within the page. */
export class RoomView {
  #parts;
  #kiosk; // at a door: no word of devices and calendars
  #bookings = new Map(); // key → its element on the timeline

  constructor(place, { kiosk, home }) {
    this.#kiosk = kiosk;
    const part = (tag, name, more = {}) => make(tag, { class: name, ...more });
    const parts = {
      badge: shape("unknown"),
      name: part("h2", "one-title", { id: "one-name", tabindex: "-1" }),
      words: part("p", "one-words"),
      away: part("p", "one-away"),
      why: part("p", "one-why low"),
      facts: part("dl", "facts"),
      title: part("h3", "day-title", { id: "day-title" }),
      all: part("ul", "day-all"),
      hours: part("div", "day-hours", { "aria-hidden": "true" }),
      line: part("div", "day-now", { "aria-hidden": "true" }),
      lineAt: part("span", "day-now-at"),
      list: part("ol", "day-bookings", { "aria-labelledby": "day-title" }),
      none: part("p", "day-none"),
      rows: make("tbody"),
    };
    parts.line.append(parts.lineAt);
    this.#parts = parts;
    this.badge = part("span", "badge badge-large", { "aria-hidden": "true" });
    this.badge.append(parts.badge);
    const inWords = make(
      "details",
      { class: "day-words" },
      make("summary", { text: "The day as a list" }),
      make(
        "table",
        {},
        make("caption", { class: "unseen", text: "What is booked and when it is free, from midnight to midnight" }),
        make(
          "thead",
          {},
          make("tr", {}, ...["From", "To", "What"].map((text) => make("th", { scope: "col", text }))),
        ),
        parts.rows,
      ),
    );
    place.replaceChildren(
      ...(kiosk ? [] : [make("a", { class: "back", href: home }, shape("back"), "All rooms")]),
      make(
        "div",
        { class: "one-head" },
        this.badge,
        make("div", {}, parts.name, parts.words, parts.why, parts.away),
      ),
      make(
        "div",
        { class: "one-body" },
        make("section", { class: "one-facts", "aria-label": "How it is" }, parts.facts),
        make(
          "section",
          { class: "one-day", "aria-labelledby": "day-title" },
          parts.title,
          parts.all,
          parts.none,
          make("div", { class: "day" }, parts.hours, parts.list, parts.line),
          ...(kiosk ? [] : [inWords]),
        ),
      ),
    );
    this.place = place;
    parts.list.addEventListener("keydown", (event) => this.#walk(event));
    parts.list.addEventListener("focusin", (event) => this.#stopAt(event.target.closest("li")));
  }

  focus() {
    this.#parts.name.focus();
  }

  /** The room as roomd told it; without `day` its timeline waits. `asOf` and `now` are as a card has them. */
  tell(room, time, { asOf, now }) {
    const parts = this.#parts;
    const condition = conditionOf(room);
    set(this.place, "data-condition", condition);
    reshape(parts.badge, condition);
    say(parts.name, nameOf(room));
    const { words, why } = statusOf(room);
    say(parts.words, words);
    const told = (room.devices ?? []).some((device) => device.why && sentence(device.why) === why);
    show(parts.why, told || this.#kiosk ? "" : why); // beside the device, where it is one's
    const left = room.until ? Date.parse(room.until) - now : 0;
    show(parts.away, asOf ? `as of ${asOf}` : left > 0 && left < 8 * HOUR ? `for another ${span(left)}` : "");
    this.#tellFacts(room, time, now, asOf);
    say(parts.title, asOf ? time.date(now) : `Today, ${time.date(now)}`);
    this.place.toggleAttribute("data-undrawn", !room.day);
    if (room.day) this.#draw(room, time, now, asOf);
    else show(parts.none, asOf ? "Its day had not been read when the connection was lost." : "");
  }

  #tellFacts(room, time, now, asOf) {
    const facts = [];
    const fact = (name, ...lines) => {
      const said = lines.filter((line) => line && (line.text ?? line));
      if (said.length) facts.push([name, said]);
    };
    const times = (booking) =>
      booking.all_day
        ? "all day"
        : `${time.told(Date.parse(booking.starts_at), now)} to ${time.told(Date.parse(booking.ends_at), now)}`;
    const relative = (instant) => (asOf ? "" : `, ${away(Date.parse(instant), now)}`);
    if (room.current) fact("Now", titleOf(room.current), quiet(room.current.organizer), quiet(times(room.current)));
    if (room.next) {
      fact("Next", titleOf(room.next), quiet(room.next.organizer), quiet(times(room.next) + relative(room.next.starts_at)));
    }
    const uses = [room.in_call && "in a call", room.in_use && !room.people && "somebody is there"];
    const seats = peopleOf(room);
    fact(
      room.people === null ? "Seats" : "People",
      seats ? String(seats.number) : room.devices?.length ? "Not known" : null,
      ...uses.map(quiet),
      room.people === null && room.devices?.length && !this.#kiosk ? quiet("people are not counted now") : null,
    );
    if (room.hold) {
      const shown = room.hold.shown ? "shown on its screens" : "not shown on any screen yet";
      fact("Hold", room.hold.text || "Held", quiet(`until ${time.told(Date.parse(room.hold.ends_at), now)}, ${shown}`));
    }
    if (!this.#kiosk) this.#tellHealth(room, fact);
    retell(this.#parts.facts, facts);
  }

  #tellHealth(room, fact) {
    const calendar = calendarOf(room);
    if (calendar) fact("Calendar", { text: capital(calendar.words), bad: calendar.old }, quiet(sentence(calendar.why)));
    for (const device of room.devices ?? []) {
      const heard = device.phase === "connected";
      fact(
        room.devices.length > 1 ? `Device ${device.device}` : "Device",
        { text: device.product || device.device, bad: !heard },
        quiet([lineOf(device), device.firmware].filter(Boolean).join(", ")),
        ...reasonsOf(device).map((text) => ({ text, quiet: true })),
        ...(device.shortcomings ?? []).map((text) => ({ text: sentence(text), sign: true })),
      );
    }
    const trouble = troubleOf(room);
    if (trouble && !room.devices?.length) fact("Trouble", { text: trouble, bad: true });
  }

  #draw({ day, calendar }, time, now, asOf) {
    const parts = this.#parts;
    const known = Boolean(calendar?.kind); // else nobody has ever said what is booked
    const today = time.dayOf(now);
    const bookings = day
      .map((booking) => ({
        ...booking,
        begins: Math.max(Date.parse(booking.starts_at), today.begins),
        ends: Math.min(Date.parse(booking.ends_at), today.ends),
      }))
      .filter(({ begins, ends }) => begins < ends || (begins === ends && begins < today.ends))
      .sort((one, other) => one.begins - other.begins || one.ends - other.ends);
    const whole = bookings.filter((booking) => booking.all_day);
    const timed = bookings.filter((booking) => !booking.all_day && (!this.#kiosk || booking.ends > now));
    const shortest = this.#kiosk ? SHORTEST_AT_A_DOOR : SHORTEST;

    parts.all.hidden = !whole.length;
    parts.all.replaceChildren(...whole.map((booking) => make("li", { text: `All day: ${titleOf(booking)}` })));
    const nothing = known ? "Nothing is booked today." : "What is booked here is not known.";
    const stale = "This is what was known last; it may have changed.";
    const notes = [!bookings.length && nothing, known && !calendar.fresh && stale];
    show(parts.none, notes.filter(Boolean).join(" "));

    const hours = time.hours(today.begins, today.ends);
    const hourOf = (shown) => hours.find((hour) => hour.shown >= shown)?.at ?? today.begins;
    const from = this.#kiosk
      ? floorHour(Math.max(now - HOUR / 2, today.begins), hours, today) // at a door, what was is of no use
      : Math.min(
          hourOf(`${String(FIRST_HOUR).padStart(2, "0")}:00`),
          floorHour(now, hours, today),
          ...timed.map(({ begins }) => floorHour(begins, hours, today)),
        );
    const to = Math.max(
      hourOf(`${LAST_HOUR}:00`),
      Math.min(from + FEWEST_HOURS * HOUR, today.ends),
      ceilHour(now, hours, today),
      ...timed.map(({ ends }) => ceilHour(ends, hours, today)),
    );
    const place = (element, begins, ends) => {
      element.style.setProperty("--from", ((begins - from) / HOUR).toFixed(4));
      element.style.setProperty("--long", ((ends - begins) / HOUR).toFixed(4));
    };
    const drawn = parts.list.parentElement;
    drawn.style.setProperty("--hours", ((to - from) / HOUR).toFixed(4));
    parts.hours.replaceChildren(
      ...[...hours, { at: today.ends, shown: "24:00" }]
        .filter(({ at }) => at >= from && at <= to)
        .map(({ at, shown }) => {
          const covered = !asOf && Math.abs(at - now) < COVERED;
          const mark = make("div", { class: "day-hour" }, covered ? null : make("span", { text: shown }));
          place(mark, at, at);
          return mark;
        }),
    );
    place(parts.line, now, now);
    parts.line.hidden = Boolean(asOf);
    say(parts.lineAt, time.clock(now));

    const lanes = laneOf(timed, shortest);
    const children = timed.map((booking) => {
      let element = this.#bookings.get(booking.key);
      if (!element) {
        element = make(
          "li",
          { class: "booking", tabindex: "-1", "data-key": booking.key },
          make(
            "div",
            { class: "booking-words" },
            make("span", { class: "booking-time" }),
            " ",
            make("span", { class: "booking-title" }),
            " ",
            make("span", { class: "booking-who" }),
          ),
        );
        this.#bookings.set(booking.key, element);
      }
      const [when, title, who] = element.firstElementChild.children;
      const over = booking.ends <= now || ["ended"].includes(booking.phase);
      const on = !over && booking.begins <= now;
      say(when, `${clockOf(booking, "starts_at", time, now)}–${clockOf(booking, "ends_at", time, now)}`);
      say(title, titleOf(booking));
      const waits = ["requested", "pending"].includes(booking.phase) ? "waits for the calendar" : "";
      say(who, [booking.organizer, waits].filter(Boolean).join(", "));
      set(element, "data-state", over ? "over" : on ? "on" : "ahead");
      set(element, "aria-current", on && !asOf ? "time" : null);
      set(element, "data-short", booking.ends - booking.begins <= HOUR / 2);
      const begins = Math.max(booking.begins, from);
      place(element, begins, Math.max(booking.ends, begins + shortest));
      const { lane, of } = lanes.get(booking);
      element.style.setProperty("--lane", lane);
      element.style.setProperty("--lanes", of);
      return element;
    });
    arrange(parts.list, children);
    const keys = new Set(timed.map(({ key }) => key));
    for (const key of this.#bookings.keys()) if (!keys.has(key)) this.#bookings.delete(key);
    if (!children.some((child) => child.tabIndex === 0)) {
      (children.find((child) => child.dataset.state !== "over") ?? children.at(-1))?.setAttribute("tabindex", "0");
    }
    this.#write(whole, timed, today, time, now, known ? "Free" : "Not known");
  }

  #write(whole, timed, today, time, now, between) {
    const clock = (instant) => (instant === today.ends ? "24:00" : time.clock(instant));
    const rows = whole.map((booking) => ["all day", "", titleOf(booking)]);
    let free = today.begins;
    for (const booking of timed) {
      if (booking.begins > free && !whole.length) rows.push([clock(free), clock(booking.begins), between]);
      const words = [titleOf(booking), booking.organizer].filter(Boolean).join(", ");
      const on = booking.begins <= now && now < booking.ends && booking.phase !== "ended" ? " (now)" : "";
      rows.push([clock(booking.begins), clock(booking.ends), words + on]);
      free = Math.max(free, booking.ends);
    }
    if (free < today.ends && !whole.length) rows.push([clock(free), clock(today.ends), between]);
    const said = JSON.stringify(rows);
    if (this.#parts.rows.dataset.said === said) return;
    this.#parts.rows.dataset.said = said;
    this.#parts.rows.replaceChildren(
      ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { text })))),
    );
  }

  #walk(event) {
    const all = [...this.#parts.list.children];
    const at = all.indexOf(document.activeElement);
    const next = {
      ArrowDown: at + 1,
      ArrowRight: at + 1,
      ArrowUp: at - 1,
      ArrowLeft: at - 1,
      Home: 0,
      End: all.length - 1,
    }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    all[Math.min(Math.max(next, 0), all.length - 1)].focus();
  }

  #stopAt(item) {
    for (const each of this.#parts.list.children) set(each, "tabindex", each === item ? "0" : "-1");
  }
}

const quiet = (text) => (text ? { text, quiet: true } : null);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function retell(list, facts) {
  const said = JSON.stringify(facts);
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  list.replaceChildren(
    ...facts.flatMap(([name, lines]) => [
      make("dt", { text: name }),
      make(
        "dd",
        {},
        ...lines.map((line) => {
          const { text, quiet: low, bad, sign } = typeof line === "string" ? { text: line } : line;
          const words = make("p", { class: [low && "low", (bad || sign) && "bad"].filter(Boolean).join(" ") || null });
          if (bad || sign) words.append(shape("trouble"));
          words.append(make("span", { text }));
          return words;
        }),
      ),
    ]),
  );
}

function clockOf(booking, end, time, now) {
  const instant = Date.parse(booking[end]);
  return time.told(instant, now).replace("midnight", "24:00");
}

const floorHour = (instant, hours, today) => hours.findLast(({ at }) => at <= instant)?.at ?? today.begins;
const ceilHour = (instant, hours, today) => hours.find(({ at }) => at >= instant)?.at ?? today.ends;

/** Bookings that overlap stand beside each other: which lane each has, and of how many. */
function laneOf(timed, shortest) {
  const lanes = new Map();
  let group = [];
  let ends = [];
  const close = () => {
    for (const booking of group) lanes.get(booking).of = ends.length;
    group = [];
    ends = [];
  };
  for (const booking of timed) {
    if (ends.length && ends.every((end) => end <= booking.begins)) close();
    let lane = ends.findIndex((end) => end <= booking.begins);
    if (lane < 0) lane = ends.push(0) - 1;
    ends[lane] = Math.max(booking.ends, booking.begins + shortest);
    lanes.set(booking, { lane, of: 1 });
    group.push(booking);
  }
  close();
  return lanes;
}

