// Cisco's jsxapi (WebSocket, auth-… subprotocol) works a device and tells, one JSON object per line, what it saw.
// Usage: NODE_PATH=…/node_modules node jsxapi_judge.js wss://host:port user password
'use strict';

const jsxapi = require('jsxapi');

const [url, username, password] = process.argv.slice(2);
const tell = (step, value) => process.stdout.write(`${JSON.stringify({ step, value })}\n`);
const refusal = (promise) => promise.then(() => null, (error) => error.code);

const xapi = jsxapi.connect(url, { username, password, loglevel: 'error' });
let leaving = false;
xapi.on('error', (error) => {
  if (leaving) return; // it calls its own closing unexpected unless the device answers with 1000
  tell('error', String(error));
  process.exit(1);
});

async function work() {
  tell('uptime', await xapi.Status.SystemUnit.Uptime.get());
  tell('analytics', await xapi.Status.RoomAnalytics.get());
  tell('query', await xapi.execute('xQuery', { Query: ['Status', '**', 'DisplayName'] }));
  tell('set', await xapi.Config.Time.Zone.set('Europe/Oslo'));
  tell('zone', await xapi.Config.Time.Zone.get());
  tell('schema', await xapi.doc('Configuration Time Zone'));
  tell('empty', await xapi.Command.Bookings.List({ Days: 1 }));
  tell('refused', await refusal(xapi.command('Bookings Celebrate')));
  tell('invalid', await refusal(xapi.Command.Bookings.List({ Weeks: 1 })));

  const heard = [];
  const enough = new Promise((resolve) => {
    const note = (name) => (value) => {
      heard.push({ name, value });
      if (['people', 'sharing', 'created', 'updated'].every((each) => heard.some((one) => one.name === each))) {
        resolve();
      }
    };
    const offs = [
      xapi.Status.RoomAnalytics.PeopleCount.Current.on(note('people')),
      xapi.Status.Conference.Presentation.LocalInstance.on(note('sharing')),
      xapi.Event.Bookings.BookingCreated.on(note('created')),
      xapi.Event.Bookings.Updated.on(note('updated')),
    ];
    Promise.all(offs.map((off) => off.registration)).then(() => tell('listening', offs.length));
  });
  tell('booked', await xapi.Command.Bookings.Book({ Title: 'Judged', Duration: 15 }));
  await enough;
  tell('heard', heard);
  tell('listed', await xapi.Command.Bookings.List({ Days: 1 }));
  tell('unsubscribed', await xapi.execute('xFeedback/Unsubscribe', { Id: 1 }));
  leaving = true;
  xapi.close();
  tell('done', true);
}

work().catch((error) => {
  tell('error', error.message || error);
  process.exit(1);
});
