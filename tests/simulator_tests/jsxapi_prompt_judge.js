// Cisco's jsxapi (WebSocket) puts prompts up and tells, one JSON object per line, what it hears of them.
// Usage: NODE_PATH=…/node_modules node jsxapi_prompt_judge.js wss://host:port user password
'use strict';

const jsxapi = require('jsxapi');

const [url, username, password] = process.argv.slice(2);
const tell = (step, value) => process.stdout.write(`${JSON.stringify({ step, value })}\n`);

const xapi = jsxapi.connect(url, { username, password, loglevel: 'error' });
let leaving = false;
xapi.on('error', (error) => {
  if (leaving) return;
  tell('error', String(error));
  process.exit(1);
});

async function work() {
  const { Prompt } = xapi.Event.UserInterface.Message;
  const next = (event) => new Promise((resolve) => event.once(resolve));
  const prompt = { Title: 'Held', Text: 'For Ada', 'Option.1': "I'm here", 'Option.2': 'Release it' };
  const answered = next(Prompt.Response);
  await xapi.Command.UserInterface.Message.Prompt.Display({ ...prompt, FeedbackId: 'first' });
  tell('shown', 'first'); // somebody presses the second answer
  tell('answered', await answered);
  const cleared = next(Prompt.Cleared);
  await xapi.Command.UserInterface.Message.Prompt.Display({ ...prompt, FeedbackId: 'second', Target: 'RoomScheduler' });
  await xapi.Command.UserInterface.Message.Prompt.Clear({ FeedbackId: 'second' });
  tell('cleared', await cleared);
  leaving = true;
  xapi.close();
  tell('done', true);
}

work().catch((error) => {
  tell('error', error.message || error);
  process.exit(1);
});
