/** @file The desktop app from its first moment to its last: one window over the library, behind the walls of `window.ts`. All of Electron comes as an argument, so that this starts without it too. */
import { join } from 'node:path';
import type * as Electron from 'electron';
import { openLibrary } from '../cli/library.ts';
import { ends } from '../cli/stop.ts';
import type { AskedOfPage } from '../contract/bridge.ts';
import { event as studioEvent } from '../contract/events.ts';
import { settings as settingsSchema } from '../contract/records.ts';
import { updatesSwitch, type UpdatesSwitch } from '../contract/updates.ts';
import type { Opened } from '../contract/wire.ts';
import { startScriptsBy } from '../media/children.ts';
import { program } from '../media/program.ts';
import { placesOf, type Places } from '../serve/places.ts';
import { describeFailure } from '../studio/failures.ts';
import { libraryHome } from '../studio/places.ts';
import { isInside } from '../studio/secrets.ts';
import { byUtilityProcess } from './children.ts';
import { keepDownloading } from './downloads.ts';
import { drawing, mending } from './faults.ts';
import { connectWindow, glanceBy, windowAnswer } from './ipc.ts';
import { answering, origin, privileges, refusing } from './protocol.ts';
import { keyringSecrets } from './secrets.ts';
import { withoutSwitches } from './switches.ts';
import {
  boundsWithin,
  bringForward,
  contextTemplate,
  ground,
  keepBounds,
  keepOnDisplay,
  menuTemplate,
  readBounds,
  secure,
  smallest,
  webPreferences,
  zoomed,
  type MenuAction,
  type ZoomWay,
} from './window.ts';
import { languageOf, shellWords, type Language, type ShellWords } from './words.ts';
import type { Updates } from './updates.ts';
import { clipsIn, followWork, quitting, whenGoingDown, whenSignaled } from './work.ts';

/** What of Electron is used, and nothing else. */
export type ElectronUsed = Pick<
  typeof Electron,
  | 'app'
  | 'BrowserWindow'
  | 'clipboard'
  | 'dialog'
  | 'Menu'
  | 'nativeImage'
  | 'nativeTheme'
  | 'Notification'
  | 'powerMonitor'
  | 'powerSaveBlocker'
  | 'protocol'
  | 'safeStorage'
  | 'screen'
  | 'session'
  | 'shell'
  | 'utilityProcess'
>;

/** What the system knows the app by: its packages say the same. */
export const identity = {
  appId: 'org.protagonist.Protagonist',
  desktopName: 'protagonist.desktop',
  copyright: 'Copyright © 2026 the Protagonist maintainers',
} as const;
/** Milliseconds in which a second signal is the first one's echo: a terminal sends it to a whole group. */
const echo = 500;

/** Writes out what was said to a stream; one that nobody reads any more has nothing left to say. */
const said = (stream: NodeJS.WriteStream) => new Promise<void>(done => stream.write('', () => done()));

/** Starts the app, or, with `--headless`, the command line.
 * @param argv the process's
 * @param platform the system's
 * @param switched the switch for updates, as package.json has it
 * @returns when it runs; or at once where another one runs already, which then has come forward. Never rejects: what keeps it from starting is said, and it ends */
export async function start(
  electron: ElectronUsed,
  argv: readonly string[],
  platform: NodeJS.Platform = process.platform,
  switched = updatesSwitch.parse(program.updates),
): Promise<void> {
  const refused = electron.app.isPackaged ? withoutSwitches(electron.app.commandLine) : undefined;
  const headless = argv.indexOf('--headless');
  if (headless >= 0) return commandLine(electron, argv.slice(headless + 1), platform);
  try {
    await run(electron, argv, platform, refused, switched);
  } catch (error) {
    electron.dialog.showErrorBox(shellWords('system', electron.app.getLocale()).notStarted, describeFailure(error).text);
    electron.app.exit(1);
  }
}

/** The command line, by the same program. Its last word is out before it ends. */
async function commandLine({ app, utilityProcess }: ElectronUsed, argv: readonly string[], platform: NodeJS.Platform): Promise<void> {
  let status = 1;
  try {
    app.disableHardwareAcceleration(); // nothing is drawn
    if (platform === 'darwin') app.setActivationPolicy('prohibited'); // not in the Dock
    const { main } = await import('../cli.ts');
    startScriptsBy(byUtilityProcess((...how) => utilityProcess.fork(...how), platform));
    await app.whenReady(); // before that no process of ours can be started
    status = await main(argv);
  } catch (error) {
    process.stderr.write(`${describeFailure(error).text}\n`);
  }
  await Promise.all([said(process.stdout), said(process.stderr)]);
  app.exit(status);
}

async function run(
  electron: ElectronUsed,
  argv: readonly string[],
  platform: NodeJS.Platform,
  refused: string | undefined,
  switched: UpdatesSwitch,
): Promise<void> {
  const { app } = electron;
  const development = !app.isPackaged;
  app.enableSandbox();
  if (platform === 'win32') app.setAppUserModelId(identity.appId); // of its taskbar button and its notifications
  if (platform === 'linux') app.setDesktopName(identity.desktopName);
  const drawn = drawing(join(app.getPath('userData'), 'drawing.json'), program.version);
  if (drawn.software) app.disableHardwareAcceleration();
  app.on('child-process-gone', (_, { type, reason }) => {
    if (type === 'GPU') drawn.died(reason); // ours tell their owners themselves
  });
  electron.protocol.registerSchemesAsPrivileged(privileges);
  if (!app.requestSingleInstanceLock({ cwd: process.cwd() })) return app.quit();
  const wanted: string[] = [...clipsIn(argv.slice(1), platform)];
  app.on('open-file', (event, path) => {
    event.preventDefault();
    hand([path]);
  });
  let hand = (files: readonly string[]): void => void wanted.push(...clipsIn(files, platform));

  await app.whenReady();
  let spoken: 'system' | Language = 'system';
  const words = (): ShellWords => shellWords(spoken, app.getLocale());
  if (refused !== undefined) {
    electron.dialog.showErrorBox(words().notStarted, refused === 'no-sandbox' ? words().noSandbox : words().refusedSwitch(refused));
    return app.exit(1);
  }

  startScriptsBy(byUtilityProcess((...how) => electron.utilityProcess.fork(...how), platform));
  let library: Opened;
  try {
    const encrypted = join(app.getPath('userData'), 'secrets', 'hub.bin');
    library = await openLibrary(
      undefined,
      keyringSecrets(electron.safeStorage, isInside(encrypted, libraryHome()) ? undefined : encrypted),
    );
  } catch (error) {
    electron.dialog.showErrorBox(words().notStarted, describeFailure(error).text);
    return app.exit(1);
  }
  const { transport } = library;
  const places: Places = placesOf([]);
  const ses = electron.session.fromPartition('persist:window', { cache: true });
  ses.protocol.handle('app', answering({ window: program.window, answer: windowAnswer(transport, places), glance: glanceBy(places) }));
  ses.protocol.handle('file', refusing);

  let window: Electron.BrowserWindow | undefined;
  const boundsFile = join(app.getPath('userData'), 'window.json');
  /** What the page is asked before it is there. */
  const unasked: AskedOfPage[] = [];
  let hears = false,
    { zoom } = boundsWithin(readBounds(boundsFile), []),
    resize: ((way: ZoomWay) => void) | undefined; // of what the window shows
  /** Has the page do something: what its own shortcuts do, or to open clips. */
  const tell = (said: AskedOfPage): void => {
    const { webContents } = window ?? open();
    if (hears) webContents.send('protagonist:asked', said);
    else unasked.push(said);
  };
  const backgroundColor = () => (electron.nativeTheme.shouldUseDarkColors ? ground.dark : ground.light);
  const open = (): Electron.BrowserWindow => {
    const { workArea } = electron.screen.getPrimaryDisplay();
    const others = electron.screen.getAllDisplays().map(display => display.workArea);
    const { x, y, width, height, ...was } = boundsWithin(readBounds(boundsFile), [workArea, ...others]);
    const made = new electron.BrowserWindow({
      ...{ x, y, width, height, ...(was.fullScreen && { fullscreen: true }) },
      minWidth: Math.min(smallest.width, workArea.width),
      minHeight: Math.min(smallest.height, workArea.height),
      title: 'Protagonist',
      show: false,
      backgroundColor: backgroundColor(),
      webPreferences: { ...webPreferences(join(import.meta.dirname, 'preload.cjs'), { development, platform }), session: ses },
    });
    if (was.maximized) made.maximize();
    const { webContents: contents } = made;
    const stopKeeping = keepBounds(made, boundsFile, () => zoom),
      stopMoving = keepOnDisplay(made, electron.screen),
      letGo = secure({
        app,
        session: ses,
        contents,
        openExternal: url => electron.shell.openExternal(url),
        downloads: app.getPath('downloads'),
        development,
        platform,
      }),
      disconnect = connectWindow(contents.ipc, contents, {
        transport,
        version: program.version,
        places,
        home: libraryHome(),
        window: made,
        dialog: electron.dialog,
        shell: electron.shell,
        dragIcon: electron.nativeImage.createFromPath(program.icon),
        words: words().files,
        onPage: () => {
          hears = true;
          for (const said of unasked.splice(0)) contents.send('protagonist:asked', said);
        },
      });
    made.once('ready-to-show', () => made.show());
    resize = way => {
      zoom = zoomed(zoom, way);
      contents.setZoomFactor(zoom);
      stopKeeping.soon();
    };
    contents.on('zoom-changed', (_, way) => resize?.(way));
    contents.on('dom-ready', () => contents.setZoomFactor(zoom));
    contents.on('did-start-navigation', ({ isMainFrame, isSameDocument }) => {
      if (isMainFrame && !isSameDocument) hears = false; // it is loaded anew
    });
    contents.on('context-menu', (_, what) => {
      const copy = (text: string) => void electron.clipboard.writeText(text),
        replace = (word: string) => contents.replaceMisspelling(word),
        template = contextTemplate(what, words().menu, { copy, replace });
      if (template.length > 0) electron.Menu.buildFromTemplate(template).popup({ window: made, ...(what.frame && { frame: what.frame }) });
    });
    made.on('close', event => {
      if (platform !== 'darwin') leave.closing(event);
    });
    if (platform === 'win32') {
      made.on('query-session-end', event => {
        if (work.running().length === 0 || event.reasons.includes('critical')) return; // its end is as quick as any
        event.preventDefault();
        leave.end(whenGoingDown);
      });
      made.on('session-end', () => leave.end());
    }
    made.on('closed', () => {
      stopKeeping();
      stopMoving();
      letGo();
      void disconnect();
      if (window !== made) return;
      window = resize = undefined;
      hears = false;
    });
    const askPage = async (kind: 'pageDied' | 'pageHangs', other: string, signal?: AbortSignal) => {
      const w = words(),
        detail = kind === 'pageDied' ? w.pageDiedText : w.pageHangsText;
      const { response } = await electron.dialog.showMessageBox(made, { type: 'warning', message: w[kind], detail, buttons: [w.again, other], defaultId: 0, cancelId: kind === 'pageDied' ? 0 : 1, noLink: true, ...(signal && { signal }) }); // prettier-ignore
      return response === 0;
    };
    const mend = mending({
      reload: () => contents.reload(),
      crash: () => contents.forcefullyCrashRenderer(),
      quit: () => app.quit(),
      leaving: () => leave.begun || window !== made,
      askDied: async () => ((await askPage('pageDied', words().quit)) ? 'again' : 'quit'),
      askHangs: async answers => ((await askPage('pageHangs', words().wait, answers)) ? 'again' : 'wait'),
    });
    contents.on('render-process-gone', (_, { reason }) => {
      hears = false;
      mend.died(reason);
    });
    made.on('unresponsive', () => mend.hangs()).on('responsive', () => mend.answers());
    void made.loadURL(`${origin}/window/`);
    window = made;
    work.show();
    return made;
  };

  const work = followWork({
    transport,
    app,
    platform,
    window: () => window,
    powerSaveBlocker: electron.powerSaveBlocker,
    Notification: electron.Notification,
    words: () => words().work,
    go: to => {
      bringForward(window ?? open());
      tell({ action: to });
    },
  });
  const downloads = keepDownloading(transport, join(app.getPath('userData'), 'downloads.json'));
  const leave = quitting({
    app,
    work,
    owner: () => library.owner,
    close: async () => {
      work.stop();
      downloads.stop();
      const install = await updates?.ending(); // asks the library, so before it is closed
      updates?.stop();
      await library.close();
      places.close();
      for (const end of signals) process.off(end, signaled);
      await install?.();
    },
    abandon: () => places.close(), // an engine sees that its owner has gone, and goes too
    show: (waited, seconds) => {
      const count = (kind: 'job' | 'export') => waited.filter(one => one.kind === kind).length;
      const { title, body } = words().leaving(count('job'), count('export'), seconds);
      new electron.Notification({ title, body }).show();
    },
    ask: async lost => {
      const { givesUp, quit, stay } = words(),
        { dialog } = electron;
      const question: Electron.MessageBoxOptions = { type: 'question', ...givesUp(lost.length, lost[0]?.name ?? ''), buttons: [quit, stay], defaultId: 1, cancelId: 1, noLink: true }; // prettier-ignore
      const { response } = await (window ? dialog.showMessageBox(window, question) : dialog.showMessageBox(question));
      return response === 0;
    },
  });
  electron.powerMonitor.on('shutdown', (event?: Pick<Electron.Event, 'preventDefault'>) => {
    event?.preventDefault(); // the system waits as long as it may
    leave.end(whenGoingDown);
  });
  let signaledAt: number | undefined;
  const signaled = () => {
    const now = performance.now();
    if (signaledAt === undefined) leave.end(whenSignaled);
    else if (now - signaledAt > echo) leave.end();
    signaledAt ??= now;
  };
  const signals = platform === 'win32' ? [] : ends; // there a window's program gets none
  for (const end of signals) process.on(end, signaled); // after `ready`: in the place of Electron's own, which would be no end of ours

  const act = (action: MenuAction): void => {
    if (action.startsWith('zoom.')) resize?.(action.slice('zoom.'.length) as ZoomWay);
    else tell({ action });
  };
  let shortcuts: Readonly<Record<string, string | null>> = {};
  let updates: Updates | undefined;
  const showMenu = () => {
    const items = menuTemplate(platform, words().menu, act, { development, shortcuts, updates: updates?.menu() ?? [] });
    electron.Menu.setApplicationMenu(electron.Menu.buildFromTemplate(items));
  };
  if (switched.feed !== null) {
    const { connectUpdates } = await import('./connect-updates.ts'); // nothing of it is loaded where the switch is off
    const language = () => languageOf(spoken, app.getLocale());
    updates = connectUpdates(electron, {
      on: { ...switched, feed: switched.feed },
      transport,
      version: program.version,
      language,
      changed: showMenu,
      window: () => window,
    });
  }
  const readSettings = async () => {
    const reply = await transport.call('settings.show', undefined);
    const read = 'value' in reply ? settingsSchema.safeParse(reply.value) : undefined;
    spoken = read?.data?.language ?? 'system';
    shortcuts = read?.data?.shortcuts ?? {};
    electron.nativeTheme.themeSource = read?.data?.theme ?? 'system'; // frames and dialogs too
    app.setAboutPanelOptions({ applicationName: 'Protagonist', applicationVersion: program.version, copyright: identity.copyright, credits: words().about }); // prettier-ignore
    showMenu();
  };
  electron.nativeTheme.on('updated', () => window?.setBackgroundColor(backgroundColor()));
  await readSettings();
  transport.subscribe(said => {
    const { data } = studioEvent.safeParse(said);
    if (data?.type === 'settings' || data?.type === 'restored') void readSettings();
    if (data?.type === 'restored') begin(); // this process may be the owner now
  });
  const begin = () => void transport.call('queue.start', {}); // what waits is made while this app lives
  begin();
  void downloads.goOn();

  hand = files => {
    const clips = clipsIn(files, platform);
    if (clips.length === 0) return;
    bringForward(window ?? open());
    void Promise.allSettled(clips.map(path => places.admit(path))).then(found =>
      tell({ opened: found.flatMap(one => (one.status === 'fulfilled' ? [{ id: one.value.id, name: one.value.name }] : [])) }),
    );
  };
  app.on('second-instance', (_, others, cwd) => {
    const clips = clipsIn(others.slice(1), platform, { cwd });
    if (leave.begun) return app.relaunch({ args: [...argv.slice(1, development ? 2 : 1), ...clips] }); // somebody wants it again: as soon as it has ended
    bringForward(window ?? open());
    hand(clips);
  });
  app.on('activate', () => {
    if (!window && !leave.begun) open();
  });
  app.on('window-all-closed', () => undefined); // on a Mac the app stays; elsewhere its window's end is its own
  open();
  if (wanted.length > 0) hand(wanted);
}
