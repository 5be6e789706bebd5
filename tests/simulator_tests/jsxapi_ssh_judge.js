// Cisco's jsxapi over SSH works a device and tells, one JSON object per line, what it saw.
// Usage: NODE_PATH=…/node_modules node jsxapi_ssh_judge.js ssh://host:port user password
'use strict';

const jsxapi = require('jsxapi');

const [url, username, password] = process.argv.slice(2);
const tell = (step, value) => process.stdout.write(`${JSON.stringify({ step, value })}\n`);
const refusal = (promise) => promise.then(() => null, (error) => error.message);

const xapi = jsxapi.connect(url, { username, password, loglevel: 'error' });
let leaving = false;
xapi.on('error', (error) => {
  if (leaving) return;
  tell('error', String(error));
  process.exit(1);
});

async function work() {
  tell('uptime', await xapi.Status.SystemUnit.Uptime.get());
  tell('analytics', await xapi.Status.RoomAnalytics.get());
  tell('set', await xapi.Config.Time.Zone.set('Europe/Oslo'));
  tell('zone', await xapi.Config.Time.Zone.get());
  tell('illegal', await refusal(xapi.Config.Time.Zone.set('Moon/Tranquility')));
  tell('empty', await xapi.Command.Bookings.List({ Days: 1 }));
  tell('refused', await refusal(xapi.command('Bookings Celebrate')));
  tell('invalid', await refusal(xapi.Command.Bookings.List({ Weeks: 1 })));
  tell('nowhere', await refusal(xapi.Status.Coffee.get()));

  const heard = [];
  const wanted = ['people', 'sharing', 'updated'];
  const enough = new Promise((resolve) => {
    const note = (name) => (value) => {
      heard.push({ name, value });
      if (wanted.every((each) => heard.some((one) => one.name === each))) resolve();
    };
    const offs = [
      xapi.Status.RoomAnalytics.PeopleCount.Current.on(note('people')),
      xapi.Status.Conference.Presentation.LocalInstance.on(note('sharing')),
      xapi.Event.Bookings.Updated.on(note('updated')),
    ];
    Promise.all(offs.map((off) => off.registration)).then(() => tell('listening', offs.length));
  });
  tell('booked', await xapi.Command.Bookings.Book({ Title: 'Judged {by} "quotes"', Duration: 15 }));
  await enough;
  tell('heard', heard);
  tell('listed', await xapi.Command.Bookings.List({ Days: 1 }));
  tell('unsubscribed', await xapi.execute('xFeedback/Unsubscribe', { Id: 0 }));
  const time = { StartTime: '2026-03-02T10:00:00Z', Duration: 30 };
  const called = { Number: 'ada@example.com', Protocol: 'SIP', Organizer: { Name: 'Ada' } };
  const row = { Id: 'pushed-1', Title: 'Møte 会議', Time: time, ...called };
  tell('put', await xapi.Command.Bookings.Put({}, JSON.stringify({ Bookings: [row] }, null, 1)));
  leaving = true;
  xapi.close();
  tell('done', true);
}

work().catch((error) => {
  tell('error', error.message || error);
  process.exit(1);
});
