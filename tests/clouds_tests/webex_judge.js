// Cisco's workspace-integrations activates itself and tells, one JSON object per line, what it saw and heard.
// Usage: NODE_PATH=…/node_modules node webex_judge.js URL-of-the-keys (on standard input: the activation code,
// client id and secret, as one line of JSON)
'use strict';

const { once } = require('node:events');
const readline = require('node:readline');
const jsonwebtoken = require('jsonwebtoken');
const { JwksClient } = require('jwks-rsa');
const { connect } = require('workspace-integrations');

const keys = new JwksClient({ jwksUri: process.argv[2] });
const tell = (step, value) => process.stdout.write(`${JSON.stringify({ step, value })}\n`);

// As the SDK does it, but with the keys of this region: the SDK's own addresses are built in.
async function verified(jwt) {
  const { header } = jsonwebtoken.decode(jwt, { complete: true });
  const key = await keys.getSigningKey(header.kid);
  return jsonwebtoken.verify(jwt, key.getPublicKey(), { algorithms: ['ES256'] });
}

async function work() {
  const [line] = await once(readline.createInterface({ input: process.stdin }), 'line');
  const { code, clientId, clientSecret } = JSON.parse(line);
  const activationCode = await verified(code);
  tell('activation', activationCode);
  const integration = await connect({ clientId, clientSecret, activationCode, notifications: 'longpolling' });
  tell('app', await integration.getAppInfo());
  const workspaces = await integration.workspaces.getWorkspaces({});
  tell('workspaces', workspaces.map(({ displayName, calendar }) => ({ displayName, calendar })));
  const [device] = await integration.devices.getDevices({ workspaceId: workspaces[0].id });
  tell('device', device.connectionStatus);
  const { xapi } = integration;
  tell('people', await xapi.status.get(device.id, 'RoomAnalytics PeopleCount Current'));
  tell('listed', await xapi.command(device.id, 'Bookings List', { Days: 1 }));
  tell('nowhere', await xapi.status.get(device.id, 'Coffee').then(() => null, (error) => error.message));
  tell('refused', await xapi.command(device.id, 'Coffee Make').then(() => null, (error) => JSON.parse(error.message)));

  const heard = [];
  const wanted = 5;
  const enough = new Promise((resolve) => {
    const note = (what) => {
      heard.push(what);
      if (heard.length === wanted) resolve();
    };
    xapi.status.on('RoomAnalytics PeopleCount', (_, path, value, { isFullSync }) => note({ path, value, isFullSync }));
    xapi.status.on('Call', (_, path, value) => note({ path, value }));
    xapi.event.on('Bookings Start', (_, path, value) => note({ path, value }));
    console.log = (said) => note({ said }); // all that the SDK does about a health check
    // the SDK verifies with keys at its built-in addresses; here what it hands on is taken
    integration.decodeAndNotifyAction = async ({ jwt }) => note({ action: (await verified(jwt)).action });
  });
  tell('listening', device.id);
  await enough;
  tell('heard', heard);
  tell('done', true);
  process.exit(0); // it polls for ever
}

work().catch((error) => {
  tell('error', error.stack || error);
  process.exit(1);
});
