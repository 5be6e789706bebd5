// Tells times as people at the site do: in its zone, and in words such as "in 12 min".

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A site's time: its zone, and how far this machine's clock is off roomd's. */
export class SiteTime {
  #zone = "UTC";
  #ahead = 0; // ms that roomd's clock is ahead of ours
  #forms = new Map();

  /** The zone by its IANA name; one that this browser does not know leaves UTC, and says so by returning false. */
  use(zone) {
    if (zone === this.#zone) return true;
    try {
      new Intl.DateTimeFormat("en-GB", { timeZone: zone });
    } catch {
      return false;
    }
    this.#zone = zone;
    this.#forms.clear();
    return true;
  }

  /** What roomd's clock said just now, as an ISO text: wall screens seldom have theirs set. */
  set(at) {
    this.#ahead = Date.parse(at) - Date.now();
  }

  now() {
    return Date.now() + this.#ahead;
  }

  #in(options, instant) {
    const key = JSON.stringify(options);
    let form = this.#forms.get(key);
    if (!form) {
      form = new Intl.DateTimeFormat("en-GB", { timeZone: this.#zone, hourCycle: "h23", ...options });
      this.#forms.set(key, form);
    }
    return form.formatToParts(instant);
  }

  #text(options, instant) {
    return this.#in(options, instant).map((part) => part.value).join("");
  }

  /** "14:02" */
  clock(instant) {
    return this.#text({ hour: "2-digit", minute: "2-digit" }, instant);
  }

  /** "Friday, 21 November" */
  date(instant) {
    return this.#text({ weekday: "long", day: "numeric", month: "long" }, instant).replace(", ", " ");
  }

  /** "2026-11-21": two instants of one day of the site have the same. */
  day(instant) {
    const part = Object.fromEntries(
      this.#in({ year: "numeric", month: "2-digit", day: "2-digit" }, instant).map((p) => [p.type, p.value]),
    );
    return `${part.year}-${part.month}-${part.day}`;
  }

  /** "14:02", "tomorrow 09:00", "Mon 24 Nov 09:00": short where it can be. */
  told(instant, now = this.now()) {
    if (this.day(instant) === this.day(now)) return this.clock(instant);
    if (instant === this.dayOf(now).ends) return "midnight";
    if (this.day(instant) === this.day(this.dayOf(now).ends)) return `tomorrow ${this.clock(instant)}`;
    const date = this.#text({ weekday: "short", day: "numeric", month: "short" }, instant).replace(", ", " ");
    return `${date} ${this.clock(instant)}`;
  }

  /** The site's day around an instant: when it begins and ends, 23 to 25 hours apart. */
  dayOf(instant) {
    const begins = this.#midnight(this.day(instant));
    return { begins, ends: this.#midnight(this.day(begins + 36 * HOUR)) };
  }

  /** The hours of a span of that day, as the clocks on its walls show them: one twice in autumn, one never in spring. */
  hours(begins, ends) {
    const hours = [];
    for (let at = Math.ceil(begins / (15 * MINUTE)) * 15 * MINUTE; at < ends; at += 15 * MINUTE) {
      const shown = this.clock(at);
      if (shown.endsWith(":00")) hours.push({ at, shown });
    }
    return hours;
  }

  #midnight(day) {
    // The first instant of that date: where clocks are set at midnight, the day begins later.
    const noon = Date.parse(`${day}T12:00:00Z`);
    let before = noon - 30 * HOUR;
    let within = noon + 14 * HOUR; // in some zone that is still, or already, this date
    for (let at = before; at <= within; at += HOUR) {
      if (this.day(at) === day) {
        within = at;
        break;
      }
      before = at;
    }
    while (within - before > 1000) {
      const middle = before + Math.floor((within - before) / 2 / 1000) * 1000 || before + 1000;
      if (this.day(middle) === day) within = middle;
      else before = middle;
    }
    return within;
  }
}

/** "in 12 min", "for 1 h 5 min", "3 min ago": how far an instant is from now. */
export function away(instant, now, { before = "in ", after = " ago" } = {}) {
  const apart = instant - now;
  if (Math.abs(apart) < MINUTE / 2) return "now";
  return apart > 0 ? `${before}${span(apart)}` : `${span(-apart)}${after}`;
}

/** "12 min", "1 h 5 min", "3 days"; less than a minute is told as one. */
export function span(ms) {
  const minutes = Math.max(1, Math.round(ms / MINUTE));
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

