/* Shows that the API answers, over HTTP and over the socket. All that comes is set as text. */
const call = async (method, input = {}) => {
  const headers = { 'content-type': 'application/json', 'x-protagonist': '1' };
  const answer = await fetch(`/api/${method}`, { method: 'POST', headers, body: JSON.stringify(input) });
  if (!answer.ok) throw new Error(await answer.text());
  const reply = await answer.json();
  if (reply.error) throw new Error(reply.error.text);
  return reply.value;
};
const facts = new Map();
const tell = (name, text) => {
  if (!facts.has(name)) {
    const [dt, dd] = ['dt', 'dd'].map(tag => document.getElementById('facts').appendChild(document.createElement(tag)));
    dt.textContent = name;
    facts.set(name, dd);
  }
  facts.get(name).textContent = text;
};
try {
  const { version } = await call('host.describe');
  tell('version', version);
  const [{ subjects }, { clips }, { roots }, queue] = await Promise.all(
    ['subjects.list', 'clips.list', 'roots.list', 'queue.state'].map(method => call(method)),
  );
  tell('subjects', subjects.map(s => `@${s.handle}`).join(' ') || 'none');
  tell('clips', String(clips.length));
  tell('folders', roots.map(r => r.name).join(', ') || 'none');
  tell('queue', queue.state);
  if (clips[0]) {
    const video = document.getElementById('clips').appendChild(document.createElement('video'));
    Object.assign(video, { controls: true, muted: true, src: `/media/${clips[0].id}/video`, poster: `/media/${clips[0].id}/poster` });
  }
  const socket = new WebSocket(`ws://${location.host}/socket`);
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: 'hello', protocol: 1, version }));
    socket.send(JSON.stringify({ type: 'subscribe' }));
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === 'hello') tell('events', 'connected');
    if (message.type === 'event' && message.event.type === 'queue') tell('queue', message.event.queue.state);
  };
  socket.onclose = () => tell('events', 'the connection is gone: reload this page');
} catch (error) {
  tell('error', error.message);
}
