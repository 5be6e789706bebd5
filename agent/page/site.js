// How the site is: what a person must do, and the broker, the outbox, the devices and the calendars in a line each.

import { make, set, shape } from "./elements.js";
import { span } from "./times.js";
import { devicePhase, sentence, serviceName } from "./words.js";

const WORTH_TELLING_S = 60;

/** Shows what `/api/site` tells. */
export function tellSite(site, { troubles, vitals, link }) {
  const found = site.troubles ?? [];
  retell(troubles, found, (trouble) =>
    make(
      "li",
      { class: "trouble" },
      shape("trouble"),
      make(
        "div",
        {},
        make("p", { class: "trouble-what", text: trouble.what }),
        trouble.why ? make("p", { class: "low", text: sentence(trouble.why) }) : null,
        trouble.mend ? make("p", { class: "trouble-mend" }, ...typed(sentence(trouble.mend))) : null,
      ),
    ),
  );
  troubles.hidden = !found.length;
  retell(vitals, lines(site), ({ name, words, bad }) =>
    make(
      "div",
      { class: bad ? "vital bad" : "vital" },
      make("dt", { text: name }),
      make("dd", {}, name === "roomd" ? null : shape(bad ? "trouble" : "well"), make("span", { text: words })),
    ),
  );
  const words = found.length
    ? `${found.length} ${found.length === 1 ? "thing needs" : "things need"} a person`
    : "All is well";
  set(link, "data-well", !found.length);
  if (link.dataset.words !== words) {
    link.dataset.words = words;
    link.replaceChildren(shape(found.length ? "trouble" : "well"), make("span", { text: words }));
  }
  link.hidden = false;
}

function lines(site) {
  const { broker, outbox, devices = {}, calendars = [] } = site;
  const total = Object.values(devices).reduce((sum, count) => sum + count, 0);
  const shown = [];
  if (broker) {
    const words = broker.connected
      ? broker.deaf_why
        ? `Connected, but brings no commands: ${broker.deaf_why}`
        : "Connected"
      : `Not connected: ${broker.why || "connecting"}. Nothing is lost; it waits on disk`;
    shown.push({ name: "Broker", words, bad: !broker.connected || Boolean(broker.deaf_why) });
  }
  if (outbox) {
    const waits = outbox.oldest_age_s > WORTH_TELLING_S ? `, the oldest for ${span(outbox.oldest_age_s * 1000)}` : "";
    const depth = outbox.depth ? `${count(outbox.depth)} waiting${waits}` : "Nothing waits";
    const lost = outbox.dropped ? `, ${count(outbox.dropped)} dropped` : "";
    shown.push({
      name: "Outbox",
      words: `${depth}; ${count(outbox.delivered ?? 0)} delivered${lost}`,
      bad: Boolean(outbox.dropped),
    });
  }
  if (total) {
    const each = Object.entries(devices).filter(([, many]) => many);
    const words = each.map(([phase, many]) => `${many} ${devicePhase(phase)}`).join(", ");
    shown.push({ name: "Devices", words, bad: (devices.lost ?? 0) + (devices.refused ?? 0) > 0 });
  }
  for (const calendar of calendars) {
    const read = `${calendar.readable} of ${calendar.rooms} rooms are read`;
    const well = calendar.phase === "active";
    const why = calendar.why ? `: ${calendar.why}` : "";
    shown.push({ name: serviceName(calendar.service), words: well ? read : `${calendar.phase}${why}; ${read}`, bad: !well });
  }
  if (site.clock) {
    const good = site.clock === "synced";
    shown.push({ name: "Clock", words: good ? "Set by the network" : "Not set by the network", bad: !good });
  }
  shown.push({ name: "roomd", words: `${site.version}, ${site.agent}` });
  return shown;
}

/** What is to be typed stands in backquotes in roomd's words. */
function typed(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", { text: part }) : part));
}

const count = (many) => many.toLocaleString("en-GB");

function retell(list, items, draw) {
  const said = JSON.stringify(items);
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  list.replaceChildren(...items.map(draw));
}

