// The page: what roomd tells is drawn, what a person asks is answered, and what is old is never shown as new.

import { Card, aloud } from "./cards.js";
import { RoomView } from "./day.js";
import { arrange, make, say, set, shape, show } from "./elements.js";
import { Live, Refused, ask } from "./live.js";
import { tellSite } from "./site.js";
import { SiteTime } from "./times.js";
import { CONDITIONS, byName, conditionOf, nameOf, sentence } from "./words.js";
import { Wall } from "./wall.js";

const BANNER_AFTER_MS = 1500; // a daemon that is restarted is back by then
const TICK_MS = 5000;
const TELL_EVERY_MS = 6000; // a screen reader is not talked over
const MOST_TOLD = 3;
const SEEN_AT_ONCE = 15; // rooms; among more of them, one looks for a name
const ASK_AGAIN_AFTER_MS = 400;

const at = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const kiosk = query.has("kiosk");
const time = new SiteTime();
const rooms = new Map();
const cards = new Map();

let site = null;
let heardAt = null; // by roomd's clock
let isOld = false; // what is shown is not what is
let wanted = { condition: null, name: "" };
let found = null; // { words, rooms } while a person looks for a free room
let view = null;
let detail = null; // the open room, with its day
let leftAt = null;
let wall = null;

// ── what is drawn

/** The moment of which what is shown is true, and how a clock showed it then where that is not now. */
function moment() {
  if (!isOld || heardAt === null) return { now: time.now(), asOf: null };
  return { now: heardAt, asOf: time.told(heardAt) };
}

function drawRooms() {
  const all = [...rooms.values()].sort(byName);
  const of = moment();
  for (const id of cards.keys()) if (!rooms.has(id)) cards.delete(id);
  for (const room of all) card(room).tell(room, time, of);
  const shown = found
    ? found.rooms.map((id) => rooms.get(id)).filter(Boolean)
    : all.filter(
        (room) =>
          (!wanted.condition || conditionOf(room) === wanted.condition) &&
          nameOf(room).toLocaleLowerCase().includes(wanted.name),
      );
  arrange(at("rooms"), shown.map((room) => card(room).element));
  drawHeading(all, shown);
  wall?.lay();
}

function card(room) {
  let known = cards.get(room.room);
  if (!known) {
    known = new Card(room, { kiosk, query: kept() });
    cards.set(room.room, known);
  }
  return known;
}

function drawHeading(all, shown) {
  const many = new Map(Object.keys(CONDITIONS).map((condition) => [condition, 0]));
  for (const room of all) many.set(conditionOf(room), many.get(conditionOf(room)) + 1);
  for (const [condition, count] of many) {
    const chip = chips.get(condition);
    chip.element.hidden = !count && wanted.condition !== condition;
    say(chip.count, String(count));
    if (!kiosk) set(chip.element, "aria-pressed", String(wanted.condition === condition));
  }
  if (!kiosk) at("named").parentElement.hidden = all.length <= SEEN_AT_ONCE && !wanted.name;
  at("counts").hidden = Boolean(found) || !all.length;
  at("show-all").hidden = !found && !wanted.condition && !wanted.name;
  if (found) say(at("rooms-title"), headline(shown.length, found.words));
  else if (wanted.condition || wanted.name) say(at("rooms-title"), `${shown.length} of ${all.length} rooms`);
  else say(at("rooms-title"), all.length === 1 ? "One room" : `All ${all.length || ""} rooms`.replace("  ", " "));
  let nothing = "";
  if (heardAt !== null && !all.length) nothing = "There are no rooms in roomd’s configuration yet.";
  else if (found && !shown.length) nothing = `No room is ${found.words}. Try a shorter time or fewer people.`;
  else if (all.length && !shown.length) nothing = "No room is like that.";
  show(at("nothing"), nothing);
}

function headline(count, words) {
  if (!count) return "No room found";
  return `${count} ${count === 1 ? "room is" : "rooms are"} ${words}`;
}

const chips = new Map(
  Object.entries(CONDITIONS).map(([condition, words]) => {
    const count = make("span", { class: "chip-count" });
    const [before, middle, after] = words.map((text) => make("span", { text }));
    for (const each of [before, after]) each.className = "chip-more";
    const inside = [shape(condition), count, " ", make("span", {}, before, middle, after)];
    const attributes = { class: "chip", "data-condition": condition, hidden: true };
    const element = kiosk
      ? make("span", attributes, ...inside)
      : make("button", { type: "button", "aria-pressed": "false", ...attributes }, ...inside);
    element.addEventListener("click", () => {
      wanted.condition = wanted.condition === condition ? null : condition;
      drawRooms();
      tellLater(() => at("rooms-title").textContent);
    });
    return [condition, { element, count }];
  }),
);

function drawClock() {
  const now = time.now();
  if (heardAt === null) return;
  say(at("clock"), time.clock(now));
  set(at("clock"), "datetime", time.clock(now));
  say(at("date"), time.date(now));
}

function drawSite() {
  say(at("site-name"), site.site);
  if (kiosk) return;
  tellSite(site, { troubles: at("troubles"), vitals: at("vitals"), link: at("health-link") });
  at("site").hidden = false;
}

function drawTitle() {
  const where = site?.site ?? "roomd";
  const open = view && detail ? `${nameOf(detail)}: ${detail.words} – ${where}` : `Rooms – ${where}`;
  const title = isOld ? `(not connected) ${open}` : open;
  if (document.title !== title) document.title = title;
}

function drawOne() {
  if (!view || !detail) return;
  view.tell(detail, time, moment());
}

function drawAll() {
  drawClock();
  drawRooms();
  drawOne();
  drawTitle();
}

// ── what roomd tells

function hear({ site: told, rooms: all, room, there, at: when }) {
  const before = time.day(time.now());
  if (told) {
    if (kiosk && site && site.version !== told.version) location.reload(); // the page of another version
    site = told;
    time.use(site.timezone);
    time.set(site.at);
  } else if (when) time.set(when);
  heardAt = time.now();
  if (all) {
    for (const each of all) learn(each);
    forgetAllBut(all.map((each) => each.room));
    connected();
  }
  if (room) learn(room);
  if (there) forgetAllBut(there);
  if (site) drawSite();
  if (room && !found) drawRoom(room);
  else if (all || room || there) drawRooms();
  if (all || there || before !== time.day(time.now())) readDay();
  else if (room && room.room === openRoom()) {
    detail = room.day ? room : { ...detail, ...room };
    drawOne();
  }
  if (found && (all || room)) lookAgain();
  drawClock();
  drawTitle();
}

function forgetAllBut(there) {
  const kept = new Set(there);
  for (const id of [...rooms.keys()]) if (!kept.has(id)) rooms.delete(id);
}

function learn(room) {
  const before = rooms.get(room.room);
  rooms.set(room.room, room);
  if (before && conditionOf(before) !== conditionOf(room)) changed.add(room.room);
  if (changed.size) tellChanges();
}

function drawRoom(room) {
  // With hundreds of rooms only the one that changed is drawn, unless that changes which are shown.
  if (!cards.has(room.room) || wanted.condition || wanted.name) return drawRooms();
  card(room).tell(room, time, moment());
  const all = [...rooms.values()];
  drawHeading(all, all);
}

// ── when nobody answers

let bannerAt = 0;

function connected() {
  clearTimeout(bannerAt);
  bannerAt = 0;
  if (isOld) tell("Connected again. What is shown is current.");
  isOld = false;
  set(document.body, "data-old", null);
  at("banner").hidden = true;
  pulse("live", "Live");
  drawAll();
}

function lost(refused) {
  if (refused?.status === 401) return location.reload(); // to where the token is asked for
  if (!isOld) pulse("connecting", "Connecting …");
  if (refused) return admit(refused);
  if (!isOld && !bannerAt) bannerAt = setTimeout(() => admit(null), BANNER_AFTER_MS);
}

/** Say that what is shown is old: since when, and what will be done about it. */
function admit(refused) {
  isOld = true;
  set(document.body, "data-old", true);
  pulse("lost", "Not connected");
  const since = heardAt === null ? "" : ` since ${moment().asOf}`;
  if (refused instanceof Refused) {
    say(at("banner-what"), `roomd does not let this page in. ${sentence(refused.message)}`);
    say(at("banner-mend"), sentence(refused.mend));
  } else if (heardAt === null) {
    say(at("banner-what"), "roomd does not answer.");
    say(at("banner-mend"), "This page goes on trying by itself.");
  } else {
    say(at("banner-what"), `Not connected to roomd${since}.`);
    say(at("banner-mend"), `Rooms are shown as they were then. This page goes on trying by itself.`);
  }
  at("banner").hidden = false;
  drawAll();
}

function pulse(state, words) {
  set(at("pulse"), "data-state", state);
  say(at("pulse-words"), words);
}

// ── what is said aloud, now and then

const changed = new Set();
let telling = 0;

function tell(words) {
  if (!kiosk) at("told").textContent = words;
}

let tellSoon = 0;
function tellLater(words) {
  clearTimeout(tellSoon);
  tellSoon = setTimeout(() => tell(words()), 600); // after the typing
}

function tellChanges() {
  telling ||= setTimeout(() => {
    telling = 0;
    const now = [...changed].map((id) => rooms.get(id)).filter(Boolean);
    changed.clear();
    tell(now.length > MOST_TOLD ? `${now.length} rooms changed` : now.map(aloud).join(". "));
  }, TELL_EVERY_MS);
}

// ── what a person asks

async function look(focus) {
  const span = at("find-for");
  const people = at("find-people").value;
  const words = `free for ${span.selectedOptions[0].text} for ${people === "1" ? "1 person" : `${people} people`}`;
  try {
    const answer = await ask(`/api/rooms/free?${new URLSearchParams({ for: span.value, people })}`);
    found = { words, rooms: answer.rooms.map(({ room }) => room) };
    for (const room of answer.rooms) rooms.set(room.room, room);
  } catch (error) {
    if (!(error instanceof Refused)) {
      if (focus) tell("roomd does not answer");
      return; // what was found stays: the banner says that it is old
    }
    found = { words, rooms: [] };
    drawRooms();
    show(at("nothing"), [error.message, error.mend].map(sentence).join(" "));
    return;
  }
  drawRooms();
  if (focus) tell(at("rooms-title").textContent);
}

let looking = 0;
function lookAgain() {
  looking ||= setTimeout(() => {
    looking = 0;
    if (found) look(false);
  }, ASK_AGAIN_AFTER_MS);
}

function showAll() {
  found = null;
  wanted = { condition: null, name: "" };
  at("named").value = "";
  drawRooms();
  at("rooms").focus({ preventScroll: true });
  tell(at("rooms-title").textContent);
}

/** What of the address stays from view to view. */
function kept() {
  return kiosk ? "?kiosk" : "";
}

// ── one room

const openRoom = () => {
  const path = /^\/room\/([^/]+)\/?$/.exec(location.pathname);
  return path ? decodeURIComponent(path[1]) : null;
};

const roomView = () => new RoomView(at("one"), { kiosk, home: `/${kept()}` });

let readingDay = 0;
function readDay() {
  if (openRoom() === null) return;
  readingDay ||= setTimeout(async () => {
    readingDay = 0;
    const id = openRoom();
    if (id === null) return;
    try {
      const room = await ask(`/api/rooms/${encodeURIComponent(id)}`);
      if (openRoom() !== id) return;
      view ??= roomView(); // it was not there before
      detail = room;
      drawOne();
    } catch (error) {
      if (!(error instanceof Refused) || openRoom() !== id) return;
      detail = null;
      const known = error.status === 404 ? `There is no room “${id}” here.` : sentence(error.message);
      at("one").replaceChildren(
        make("a", { class: "back", href: `/${kept()}` }, shape("back"), "All rooms"),
        make("h2", { id: "one-name", class: "one-title", tabindex: "-1", text: known }),
        make("p", { class: "low", text: sentence(error.mend) }),
      );
      view = null;
    }
    drawTitle();
  }, ASK_AGAIN_AFTER_MS / 4);
}

function route(moved) {
  const id = openRoom();
  set(document.body, "data-view", id === null ? "all" : "one");
  at("all").hidden = id !== null;
  at("site")?.toggleAttribute("data-away", id !== null);
  at("one").hidden = id === null;
  if (id === null) {
    view = null;
    detail = null;
    if (heardAt !== null) drawRooms();
    if (moved && leftAt) {
      scrollTo(0, leftAt.scroll);
      const back = cards.get(leftAt.room);
      if (back?.element.isConnected) back.focus();
      else at("rooms").focus({ preventScroll: true });
    }
    leftAt = null;
  } else {
    view = roomView();
    detail = rooms.get(id) ?? null;
    drawOne();
    readDay();
    if (moved) {
      scrollTo(0, 0);
      view.focus();
    }
  }
  drawTitle();
}

function follow(event) {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const to = new URL(link.href);
  const ours = to.pathname === "/" || to.pathname.startsWith("/room/");
  if (to.origin !== location.origin || !ours || to.hash) return;
  event.preventDefault();
  go(to);
}

function go(to) {
  if (openRoom() === null) {
    const id = document.activeElement?.closest("[data-room]")?.dataset.room ?? null;
    leftAt = { room: id, scroll: scrollY };
  } else if (to.pathname === "/" && history.state?.from === "all") {
    history.back(); // so that Back does not lead to the room again
    return;
  }
  history.pushState({ from: openRoom() === null ? "all" : "one" }, "", to);
  route(true);
}

// ── from here on

at("counts").append(...[...chips.values()].map(({ element }) => element));
if (kiosk) {
  set(document.documentElement, "data-kiosk", true);
  at("tools").remove();
  at("site").remove();
  wall = new Wall(at("rooms"), at("pages"));
} else {
  document.addEventListener("click", follow);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && openRoom() !== null && !event.defaultPrevented) go(new URL("/", location.href));
  });
  at("health-link").addEventListener("click", (event) => {
    event.preventDefault();
    if (openRoom() !== null) go(new URL("/", location.href));
    at("site").scrollIntoView();
    at("site").focus({ preventScroll: true });
  });
  at("find").addEventListener("submit", (event) => {
    event.preventDefault();
    look(true);
  });
  at("show-all").addEventListener("click", showAll);
  at("named").addEventListener("input", (event) => {
    found = null;
    wanted.name = event.target.value.trim().toLocaleLowerCase();
    drawRooms();
    tellLater(() => at("rooms-title").textContent);
  });
}
addEventListener("popstate", () => {
  if (openRoom() !== null && leftAt === null) leftAt = { room: openRoom(), scroll: 0 };
  route(true);
});

setInterval(() => {
  if (heardAt === null) return;
  drawClock();
  if (!isOld) {
    const of = moment();
    for (const [id, room] of rooms) cards.get(id)?.tell(room, time, of);
    drawOne();
  }
}, TICK_MS);

history.scrollRestoration = "manual";
route(false);
new Live({ hear, lost }).connect();
