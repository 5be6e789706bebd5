// Cisco's jsxapi with mqtt.js, joined as their own examples do it.
// Over SSH it looks at no host key: jsxapi gives ssh2 no way to.
// Usage: NODE_PATH=…/node_modules node jsxapi_pair.js CONFIG
'use strict';

const fs = require('fs');
const jsxapi = require('jsxapi');
const mqtt = require('mqtt');

const DIAL_AT_ONCE = 32;

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const broker = mqtt.connect(`mqtt://127.0.0.1:${config.broker_port}`, {
  clientId: 'jsxapi',
  protocolVersion: 5,
  reconnectPeriod: 0,
});
const fail = (error) => {
  console.error(String(error && error.message ? error.message : error));
  process.exit(1);
};
broker.on('error', fail);

async function hear(device) {
  const { room, user: username, password } = device;
  const topic = `roomd/v1/demo/rooms/${room}/events/occupancy`;
  let sequence = 0;
  let previous = null;
  const url = config.line === 'ssh' ? `ssh://${device.host}:${device.ssh_port}` : `wss://${device.host}:${device.port}`;
  const xapi = jsxapi.connect(url, { username, password, loglevel: 'error' });
  xapi.on('error', fail);
  await new Promise((resolve) => { xapi.on('ready', resolve); });
  const off = xapi.Status.RoomAnalytics.PeopleCount.Current.on((value) => {
    sequence += 1;
    const people = Number(value);
    const now = new Date().toISOString();
    const event = {
      id: `jsxapi-${sequence}`,
      source: `/sites/demo/rooms/${room}`,
      time: now,
      sequence: String(sequence),
      recordedtime: now,
      data: { people, previous: { people: previous } },
      specversion: '1.0',
      type: 'roomd.occupancy.changed.v1',
      datacontenttype: 'application/json',
    };
    previous = people;
    broker.publish(topic, JSON.stringify(event), { qos: 1 }, (error) => { if (error) fail(error); });
  });
  await off.registration;
  await xapi.Status.RoomAnalytics.PeopleCount.Current.get();
  await xapi.Command.Bookings.List({ Days: 2 });
}

async function dial(waiting) {
  for (let device = waiting.shift(); device; device = waiting.shift()) {
    await hear(device);
  }
}

broker.on('connect', () => {
  const waiting = [...config.devices];
  for (let one = 0; one < DIAL_AT_ONCE; one += 1) dial(waiting).catch(fail);
});
