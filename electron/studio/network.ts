/**
 * @file The only place that opens a connection to another machine. It knows every host that may be contacted and why, follows redirects only
 * among them, looks at who is really at the other end before a byte is sent, and has the switch that keeps everything offline.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { BlockList, connect as dial, isIP, type Socket } from 'node:net';
import { connect as secure } from 'node:tls';
import { StudioError } from '../contract/errors.ts';

/** A host that may be contacted; `*.` stands for every name below it. */
export interface Contact {
  readonly host: string;
  readonly why: string;
}
/**
 * Every host that is contacted unless HF_ENDPOINT names another hub, and none without being asked: only a download that a person starts leaves this machine.
 * Hugging Face spreads its bytes over many names below these two (its `/.well-known/meta.json`, and hub-docs#2628, which advises the same two wildcards).
 */
const huggingFace: readonly Contact[] = [
  { host: 'huggingface.co', why: "a checkpoint's list of files, and its small files" },
  { host: '*.huggingface.co', why: "where Hugging Face keeps a checkpoint's large files" },
  { host: '*.hf.co', why: "where Hugging Face keeps a checkpoint's large files" },
];

/** A connection that could not be had or did not hold. `again`: the same request may work a little later; `after` (seconds): not before the server wants it. */
export class NetworkError extends StudioError {
  readonly again: boolean;
  readonly after: number | undefined;
  constructor(text: string, { again, after, ...options }: ErrorOptions & { again: boolean; after?: number }) {
    super('disconnected', text, options);
    this.again = again;
    this.after = after;
  }
}

/** An answer whose body is still on its way: read it to its end, or close it. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Who answered, after redirects. */
  readonly url: URL;
  /** The headers of the answers that sent on elsewhere, in order. */
  readonly sentOn: readonly IncomingHttpHeaders[];
  /** Whether the hub itself has answered, and not somebody it sends on to; `shown`: the access token was sent along. */
  readonly byHub: { readonly shown: boolean } | undefined;
  /** @throws NetworkError where the connection breaks before the body's end */
  readonly body: AsyncIterable<Buffer>;
  close(): void;
}

export interface Network {
  /** On: nothing is contacted, no name is looked up, and what is under way ends at once. */
  offline: boolean;
  readonly endpoint: URL;
  /** Everything that may be contacted, with this endpoint. */
  readonly contacts: readonly Contact[];
  /** GETs what lies at a path below the endpoint, or at a URL that the endpoint named.
   * @throws NetworkError; what `signal` was aborted with */
  get(
    target: URL | string,
    options: { readonly headers?: Readonly<Record<string, string>> | undefined; readonly signal: AbortSignal },
  ): Promise<Reply>;
}

export interface NetworkOptions {
  /** The hub: HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string | undefined;
  /** The access token for the endpoint, asked for at each request: nobody else is sent it, also not whom the endpoint sends on to. Over http it goes to this machine alone, since no other endpoint has http. */
  readonly token?: () => Promise<string | undefined>;
  readonly offline?: boolean;
  /** Who may be contacted beside the endpoint; Hugging Face if not given. Where the endpoint is among them, nobody else is, and it has to be on the public internet. */
  readonly listed?: readonly Contact[];
  /** Seconds without a byte after which a connection counts as dead. */
  readonly idleSeconds?: number;
  /** The system's look-up of names; tests have their own. */
  readonly lookup?: (host: string) => Promise<readonly LookupAddress[]>;
}

/** Addresses that are not of the public internet (IANA's special-purpose registries). */
const special = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  special.addSubnet(net, prefix);
for (const [net, prefix] of [
  ['2001::', 23], // Teredo and other tunnels
  ['2001:db8::', 32],
  ['2002::', 16], // 6to4 carries an IPv4 address that is not looked at
  ['3fff::', 20],
] as const)
  special.addSubnet(net, prefix, 'ipv6');
const global6 = new BlockList();
global6.addSubnet('2000::', 3, 'ipv6');

/** Whether an address belongs to the public internet. */
export function isPublic(address: string): boolean {
  const [plain = ''] = address.split('%');
  const four = /^(?:::ffff:|64:ff9b::)(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1] ?? nat64(plain) ?? plain;
  if (isIP(four) === 4) return !special.check(four);
  return isIP(four) === 6 && global6.check(four, 'ipv6') && !special.check(four, 'ipv6');
}
/** The IPv4 address in one that a network without IPv4 makes up for it (64:ff9b::/96), or that is only written as IPv6. */
function nat64(address: string): string | undefined {
  const [, high, low] = /^(?:64:ff9b::|::ffff:)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address) ?? [];
  if (high === undefined || low === undefined) return undefined;
  const [a, b] = [parseInt(high, 16), parseInt(low, 16)];
  return `${a >> 8}.${a & 255}.${b >> 8}.${b & 255}`;
}

/** A URL's host without the brackets of IPv6. */
const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
const isBelow = (host: string, domain: string): boolean => isIP(domain) === 0 && host.endsWith(`.${domain}`);
const isListedIn = (listed: readonly Contact[], host: string): boolean =>
  listed.some(({ host: known }) => (known.startsWith('*.') ? isBelow(host, known.slice(2)) : host === known));
const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

/** The hub's address as a person gave it.
 * @throws StudioError `badInput` */
function parseEndpoint(given: string): URL {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const text = given.includes('@') ? 'HF_ENDPOINT holds something' : `HF_ENDPOINT is ${JSON.stringify(given.slice(0, 200))}`; // it may hold a password
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '')
    throw new StudioError('badInput', `${text}, which is not an address such as https://huggingface.co: correct it`);
  if (url.username !== '' || url.password !== '')
    throw new StudioError('badInput', `HF_ENDPOINT holds a name or a password: take it out and set HF_TOKEN`);
  if (url.protocol === 'http:' && !isLoopback(hostOf(url)))
    throw new StudioError('badInput', `${text}, which is not encrypted: use https (http is for this machine only)`);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** Why a URL is not to be contacted; undefined where it may be. Nothing is looked up for it. */
export function refusal(url: URL, endpoint: URL, listed: readonly Contact[] = huggingFace): string | undefined {
  const host = hostOf(url),
    own = hostOf(endpoint);
  if (host !== own && !isListedIn(listed, host) && (isListedIn(listed, own) || !isBelow(host, own)))
    return 'it is not among the hosts that may be contacted';
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && endpoint.protocol === 'http:' && host === own))
    return 'it is not encrypted';
  if (url.username !== '' || url.password !== '') return 'its address holds a name or a password';
  return host === own || url.port === '' ? undefined : 'it is not the usual port';
}

/** What is said of everything that is asked for while the switch is on. */
export const offlineText = 'the offline switch is on, so nothing was contacted: switch it off in the settings to download';
const wordsOf: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is not known: check the connection to the internet',
  EAI_AGAIN: 'its name cannot be looked up: check the connection to the internet',
  ECONNREFUSED: 'it takes no connection: try again later',
  ECONNRESET: 'the connection broke: try again',
  EPIPE: 'the connection broke: try again',
  ETIMEDOUT: 'it does not answer: try again later',
  ENETUNREACH: 'there is no way to it: check the connection to the internet',
  EHOSTUNREACH: 'there is no way to it: check the connection to the internet',
  CERT_HAS_EXPIRED: "its certificate has run out: check this machine's clock",
};

/** The way out. Nothing is opened before `get`. @throws StudioError `badInput` where the endpoint is none */
export function openNetwork({
  endpoint: given = '',
  token = () => Promise.resolve(undefined),
  offline = false,
  listed = huggingFace,
  idleSeconds = 30,
  lookup = lookUp,
}: NetworkOptions = {}): Network {
  const endpoint = parseEndpoint(given.trim() || 'https://huggingface.co'),
    own = hostOf(endpoint),
    isListed = (host: string): boolean => isListedIn(listed, host);
  let switched = offline,
    online = new AbortController();

  /** One sentence for what came up on the way to `host`. */
  const explain = (host: string, error: unknown): unknown => {
    if (error instanceof StudioError) return error;
    const { code, message } = error as NodeJS.ErrnoException;
    return new NetworkError(`cannot download from ${host}: ${wordsOf[code ?? ''] ?? `${message}: try again later`}`, {
      again: true,
      cause: error,
    });
  };
  /** A private address is only for a hub that a person keeps there, and only under the name that they gave. */
  const checkPeer = (host: string, address: string | undefined): void => {
    if (address === undefined) throw new NetworkError(`cannot download from ${host}: the connection broke: try again`, { again: true });
    if (isPublic(address) || (host === own && !isListed(own))) return;
    throw new NetworkError(
      `cannot download from ${host}: its name leads to ${address}, an address inside a local network, so it was not contacted: check the network's name server`,
      { again: false },
    );
  };

  /** A connection to one who was looked at, encrypted where the URL says so; ends with `signal`. */
  const open = async (url: URL, signal: AbortSignal): Promise<Socket> => {
    const host = hostOf(url),
      port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
    const addresses = isIP(host) ? [{ address: host, family: isIP(host) }] : await aborted(lookup(host), signal);
    signal.throwIfAborted();
    const fit = addresses.filter(({ address }) => isPublic(address) || (host === own && !isListed(own)));
    if (fit.length === 0) checkPeer(host, addresses[0]?.address);
    const socket = dial({
      host,
      port,
      // what was looked at is what is dialled: a second look-up could answer otherwise
      lookup: (_host, options, done) => (options.all ? done(null, [...fit]) : done(null, fit[0]!.address, fit[0]!.family)),
    });
    const stop = () => socket.destroy(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    socket.once('close', () => signal.removeEventListener('abort', stop));
    const idle = (of: Socket) => () =>
      of.destroy(new NetworkError(`${host} has sent nothing for ${idleSeconds} seconds: try again later`, { again: true }));
    socket.setTimeout(idleSeconds * 1000, idle(socket));
    await event(socket, 'connect');
    try {
      checkPeer(host, socket.remoteAddress);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    if (url.protocol !== 'https:') return socket;
    const encrypted = secure({ socket, host, ALPNProtocols: ['http/1.1'], ...(isIP(host) === 0 && { servername: host }) });
    socket.setTimeout(0); // it no longer sees what goes through it
    socket.once('error', error => encrypted.destroy(error));
    encrypted.setTimeout(idleSeconds * 1000, idle(encrypted));
    await event(encrypted, 'secureConnect');
    return encrypted;
  };

  /** @returns the answer, and what its connection broke by, once it has */
  const ask = async (
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<{ answer: IncomingMessage; broken: () => Error | undefined }> => {
    const socket = await open(url, signal);
    return new Promise((resolve, reject) => {
      let cause: Error | undefined;
      const asked = request({
        createConnection: () => socket,
        path: url.pathname + url.search,
        headers: {
          host: url.host,
          'user-agent': 'protagonist',
          accept: '*/*',
          'accept-encoding': 'identity',
          connection: 'close',
          ...headers,
        },
      });
      asked.once('response', answer => resolve({ answer, broken: () => cause }));
      asked.on('error', error => reject((cause ??= error)));
      asked.end();
    });
  };

  return {
    endpoint,
    get offline() {
      return switched;
    },
    set offline(on) {
      switched = on;
      if (on) online.abort(new NetworkError(offlineText, { again: false }));
      else if (online.signal.aborted) online = new AbortController();
    },
    contacts: isListed(own)
      ? listed
      : [{ host: own, why: 'the hub that HF_ENDPOINT names' }, { host: `*.${own}`, why: 'where it may keep its large files' }, ...listed],
    get: async (target, { headers = {}, signal: asked }) => {
      let url = typeof target === 'string' ? new URL(target, endpoint) : target;
      const sentOn: IncomingHttpHeaders[] = [],
        signal = AbortSignal.any([asked, online.signal]);
      for (let hops = 0; ; hops++) {
        if (switched) throw new NetworkError(offlineText, { again: false });
        signal.throwIfAborted();
        const from = url,
          reason = refusal(url, endpoint, listed);
        if (reason !== undefined)
          throw new NetworkError(
            `${hops === 0 ? 'cannot contact' : `${own} sends on to`} ${url.protocol}//${url.host}, and ${reason}: nothing was sent there`,
            {
              again: hops > 0,
            },
          );
        const byHub = url.origin === endpoint.origin,
          shown = byHub ? await token() : undefined;
        try {
          const { answer, broken } = await ask(
              url,
              { ...headers, ...(shown !== undefined && { authorization: `Bearer ${shown}` }) },
              signal,
            ),
            status = answer.statusCode ?? 0,
            place = answer.headers.location;
          if (![301, 302, 303, 307, 308].includes(status) || place === undefined)
            return {
              status,
              headers: answer.headers,
              url,
              sentOn,
              byHub: byHub ? { shown: shown !== undefined } : undefined,
              body: bodyOf(answer, error => (signal.aborted ? signal.reason : explain(hostOf(from), broken() ?? error))),
              close: () => answer.destroy(),
            };
          answer.destroy();
          sentOn.push(answer.headers);
          if (hops === 5 || !URL.canParse(place, url.href))
            throw new NetworkError(`${hostOf(url)} sends on ${hops === 5 ? 'too often' : 'to no address'}: try again later`, {
              again: true,
            });
          url = new URL(place, url);
        } catch (error) {
          if (signal.aborted) throw signal.reason;
          throw explain(hostOf(from), error);
        }
      }
    },
  };
}

/** Who is contacted for a newer Protagonist, for the list of all that may be contacted: nobody where there is no feed. */
export const updateContacts = (feed: string | null): readonly Contact[] =>
  feed === null ? [] : [{ host: hostOf(new URL(feed)), why: 'whether there is a newer Protagonist, and its package, when you ask for it' }];

/** The way to the host of a feed and to no other: also not where it sends on to one. It is told nothing of this machine.
 * @param feed the folder of `updates.feed`, which is https */
export const openUpdates = (feed: string, options: Pick<NetworkOptions, 'offline' | 'idleSeconds' | 'lookup'> = {}): Network =>
  openNetwork({ ...options, endpoint: feed, listed: updateContacts(feed) });

async function* bodyOf(answer: IncomingMessage, explain: (error: unknown) => unknown): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of answer) yield chunk as Buffer;
    if (!answer.complete) throw Object.assign(new Error('ended early'), { code: 'ECONNRESET' });
  } catch (error) {
    throw explain(error);
  } finally {
    answer.destroy();
  }
}

const lookUp = (host: string): Promise<LookupAddress[]> =>
  new Promise((resolve, reject) => systemLookup(host, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses))));

/** What a promise comes to, or the signal's reason if that comes first. */
function aborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** @throws what the socket ends with before `name` */
function event(socket: Socket, name: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    socket.once('error', reject).once('close', closed);
    socket.once(name, () => {
      socket.off('error', reject).off('close', closed);
      socket.on('error', () => undefined); // whoever reads from it hears of it too
      resolve();
    });
  });
}
