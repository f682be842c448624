/** @file A wire over a WebSocket: one JSON value a frame. */
import type { WebSocket } from 'ws';
import type { Wire } from '../contract/wire.ts';

/** Bytes of the longest frame that a client may send. Files go another way. */
export const longest = 1 << 20;
/** Milliseconds for the other end to say that it closes too. */
const patience = 500;

/** @param socket whose longest frame has been bounded where it was accepted */
export function webSocketWire(socket: WebSocket): Wire {
  const closed: ((why: string) => void)[] = [];
  let over: string | undefined;
  const end = (why: string) => {
    if (over !== undefined) return;
    over = why;
    while (Buffer.byteLength(why) > 123) why = why.slice(0, -1); // a frame that closes holds no more
    socket.close(1000, why.toWellFormed());
    setTimeout(() => socket.terminate(), patience).unref();
    for (const listener of closed) listener(over);
  };
  socket.on('error', () => undefined); // `close` follows
  socket.on('close', () => end('the window has gone'));
  return {
    send: message => {
      if (over === undefined) socket.send(JSON.stringify(message));
    },
    receive: listener =>
      void socket.on('message', (data, binary) => {
        if (over !== undefined) return;
        if (binary) return end('a message is not JSON');
        let message: unknown;
        try {
          message = JSON.parse((data as Buffer).toString());
        } catch {
          return end('a message is not JSON');
        }
        listener(message);
      }),
    closed: listener => {
      if (over === undefined) closed.push(listener);
      else listener(over);
    },
    close: end,
    waiting: () => socket.bufferedAmount,
  };
}
