// Says what roomd knows of a room, in the few words that there is room for.

/** In the order in which people ask: the words, with those in the middle that can do alone where it is narrow. */
export const CONDITIONS = {
  free: ["", "free", ""],
  booked: ["", "booked", ""],
  held: ["", "held", ""],
  in_use: ["", "in use", ", not booked"],
  empty: ["booked, ", "nobody there", ""],
  unknown: ["", "not known", ""],
};

const SERVICES = { microsoft: "Microsoft 365", google: "Google Workspace", webex: "Webex" };
const CALENDARS = {
  ...SERVICES,
  hybrid: "Webex Hybrid Calendar",
  on_device: "the device's own",
  pushed: "put on the device",
};
const LINES = { websocket: "WebSocket", ssh: "SSH", http: "HTTP", cloud: "Webex" };
const PHASES = { connected: "heard", unheard: "not reached yet", lost: "not heard", refused: "turns roomd away" };

/** A condition that this page does not know is not known, whatever a newer roomd calls it. */
export const conditionOf = (room) => (room.condition in CONDITIONS ? room.condition : "unknown");

export const nameOf = (room) => room.name || room.room;
export const serviceName = (service) => SERVICES[service] ?? service;
export const devicePhase = (phase) => PHASES[phase] ?? phase;

/** "heard over WebSocket", or why not in two words. */
export function lineOf({ phase, transport }) {
  if (phase !== "connected" || !transport) return devicePhase(phase);
  return `heard over ${LINES[transport] ?? transport}`;
}

/** All that is known of why a device is not heard: a sentence for each line that was tried, and what mends it. */
export function reasonsOf({ why }) {
  const named = (text) => text.replace(/^\w+(?=: )/, (line) => LINES[line] ?? line);
  return (why ?? "").split("; ").map((text) => sentence(named(text))).filter(Boolean);
}

/** roomd's words for a room, and apart from them why, where it is not known. */
export function statusOf(room) {
  if (conditionOf(room) !== "unknown") return { words: room.words, why: "" };
  const [words, ...why] = room.words.split(": ");
  return { words, why: sentence(why.join(": ")) };
}

/** The same for a wall: what does not fit a small tile must not be cut off. */
export function wallWords(room) {
  const short = { in_use: "In use", empty: "Booked, empty" };
  return short[conditionOf(room)] ?? statusOf(room).words;
}

/** As a sentence stands: begun large and with a stop at its end. */
export function sentence(text) {
  if (!text) return "";
  const begun = /^`/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/** What a booking is called, as far as the site's privacy lets anybody see it. */
export function titleOf(booking) {
  if (booking.title) return booking.title;
  if (booking.private) return "Private";
  return booking.phase === "requested" ? "Asked for" : "Booked";
}

/** "4 of 8", or what is known of it, and what that counts; null where nothing is. */
export function peopleOf({ people, capacity }) {
  if (people === null || people === undefined) return capacity ? { number: capacity, of: "seats" } : null;
  if (capacity) return { number: `${people} of ${capacity}`, of: "people", over: people > capacity };
  return { number: people, of: people === 1 ? "person" : "people" };
}

/** Whose word the bookings are, and whether it is of today; null where the room has none. */
export function calendarOf({ calendar }) {
  if (!calendar?.kind && !calendar?.why) return null;
  const name = calendar.kind ? (CALENDARS[calendar.kind] ?? calendar.kind) : "none";
  if (calendar.fresh) return { words: name, why: calendar.why ?? "", old: false };
  return { words: calendar.kind ? `${name}, not read lately` : "not read", why: calendar.why ?? "", old: true };
}

/** What a passer-by should know of a room's health in a few words; empty where all is well. */
export function troubleOf(room) {
  if (conditionOf(room) === "unknown") return "";
  const devices = room.devices ?? [];
  const deaf = devices.filter((device) => device.phase !== "connected");
  if (devices.length && deaf.length === devices.length) {
    return room.calendar?.fresh ? "Its device is not heard: by the calendar alone" : "Its device is not heard";
  }
  if (deaf.length) return `${deaf.length} of its ${devices.length} devices not heard`;
  if (room.calendar && !room.calendar.fresh && room.calendar.kind) return "Its calendar was not read lately";
  return "";
}

/** Rooms are found by their names, and "Room 10" comes after "Room 9". */
const names = new Intl.Collator("en-GB", { numeric: true, sensitivity: "base" });
export const byName = (one, other) =>
  names.compare(nameOf(one), nameOf(other)) || (one.room < other.room ? -1 : 1);
