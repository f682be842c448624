/** @file The desktop app from its first moment to its last: one window over the library, behind the walls of `window.ts`. All of Electron comes as an argument, so that this starts without it too. */
import { join } from 'node:path';
import type * as Electron from 'electron';
import { openLibrary } from '../cli/library.ts';
import type { AskedOfPage } from '../contract/bridge.ts';
import { event as studioEvent } from '../contract/events.ts';
import { settings as settingsSchema } from '../contract/records.ts';
import { updatesSwitch } from '../contract/updates.ts';
import type { Opened } from '../contract/wire.ts';
import { startScriptsBy } from '../media/children.ts';
import { program } from '../media/program.ts';
import { placesOf, type Places } from '../serve/places.ts';
import { describeFailure } from '../studio/failures.ts';
import { libraryHome } from '../studio/places.ts';
import { isInside } from '../studio/secrets.ts';
import { byUtilityProcess } from './children.ts';
import { connectWindow, glanceBy, windowAnswer } from './ipc.ts';
import { answering, origin, privileges, refusing } from './protocol.ts';
import { keyringSecrets } from './secrets.ts';
import { withoutSwitches } from './switches.ts';
import {
  boundsWithin,
  bringForward,
  keepBounds,
  menuTemplate,
  readBounds,
  secure,
  smallest,
  webPreferences,
  type MenuAction,
} from './window.ts';
import { languageOf, shellWords, type Language, type ShellWords } from './words.ts';
import type { Updates } from './updates.ts';
import { clipsIn, followWork, quitting } from './work.ts';

/** What of Electron is used, and nothing else. */
export type ElectronUsed = Pick<
  typeof Electron,
  | 'app'
  | 'BrowserWindow'
  | 'dialog'
  | 'Menu'
  | 'nativeImage'
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

/** Starts the app, or, with `--headless`, the command line.
 * @param argv the process's
 * @param switched the switch for updates, as package.json has it
 * @returns when it runs; or at once where another one runs already, which then has come forward */
export async function start(
  electron: ElectronUsed,
  argv: readonly string[],
  switched = updatesSwitch.parse(program.updates),
): Promise<void> {
  const { app } = electron;
  const refused = app.isPackaged ? withoutSwitches(app.commandLine) : undefined;
  const headless = argv.indexOf('--headless');
  if (headless >= 0) {
    const { main } = await import('../cli.ts');
    startScriptsBy(byUtilityProcess((...how) => electron.utilityProcess.fork(...how)));
    await app.whenReady(); // before that no process of ours can be started
    app.exit(await main(argv.slice(headless + 1)));
    return;
  }

  const development = !app.isPackaged;
  app.enableSandbox();
  electron.protocol.registerSchemesAsPrivileged(privileges);
  if (!app.requestSingleInstanceLock({ cwd: process.cwd() })) return app.quit();
  const wanted: string[] = [...clipsIn(argv.slice(1), process.platform)];
  app.on('open-file', (event, path) => {
    event.preventDefault();
    hand([path]);
  });
  let hand = (files: readonly string[]): void => void wanted.push(...clipsIn(files, process.platform));

  await app.whenReady();
  let spoken: 'system' | Language = 'system';
  const words = (): ShellWords => shellWords(spoken, app.getLocale());
  if (refused !== undefined) {
    electron.dialog.showErrorBox(words().notStarted, refused === 'no-sandbox' ? words().noSandbox : words().refusedSwitch(refused));
    return app.exit(1);
  }

  startScriptsBy(byUtilityProcess((...how) => electron.utilityProcess.fork(...how)));
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
  let hears = false;
  /** Has the page do something: what its own shortcuts do, or to open clips. */
  const tell = (said: AskedOfPage): void => {
    if (!window) open();
    if (hears) window?.webContents.send('protagonist:asked', said);
    else unasked.push(said);
  };
  const open = (): Electron.BrowserWindow => {
    const { workArea } = electron.screen.getPrimaryDisplay();
    const others = electron.screen.getAllDisplays().map(display => display.workArea);
    const { maximized, ...bounds } = boundsWithin(readBounds(boundsFile), [workArea, ...others]);
    const made = new electron.BrowserWindow({
      ...bounds,
      minWidth: Math.min(smallest.width, workArea.width),
      minHeight: Math.min(smallest.height, workArea.height),
      title: 'Protagonist',
      show: false,
      backgroundColor: '#f6f4f2',
      webPreferences: { ...webPreferences(join(import.meta.dirname, 'preload.cjs'), { development }), session: ses },
    });
    if (maximized) made.maximize();
    const stopKeeping = keepBounds(made, boundsFile),
      letGo = secure({
        app,
        session: ses,
        contents: made.webContents,
        openExternal: url => electron.shell.openExternal(url),
        downloads: app.getPath('downloads'),
        development,
      }),
      disconnect = connectWindow(made.webContents.ipc, made.webContents, {
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
          for (const said of unasked.splice(0)) made.webContents.send('protagonist:asked', said);
        },
      });
    made.once('ready-to-show', () => made.show());
    made.on('close', event => {
      if (process.platform !== 'darwin') leave.closing(event);
    });
    made.on('closed', () => {
      stopKeeping();
      letGo();
      void disconnect();
      if (window !== made) return;
      window = undefined;
      hears = false;
    });
    made.webContents.on('did-start-navigation', ({ isMainFrame, isSameDocument }) => {
      if (isMainFrame && !isSameDocument) hears = false; // it is loaded anew
    });
    made.webContents.on('render-process-gone', (_, { reason }) => {
      hears = false;
      if (reason === 'clean-exit' || leave.begun) return;
      const { pageDied: message, pageDiedText: detail, again, quit } = words();
      void electron.dialog
        .showMessageBox(made, { type: 'warning', message, detail, buttons: [again, quit], defaultId: 0, cancelId: 0, noLink: true })
        .then(({ response }) => (response === 0 ? made.webContents.reload() : app.quit()));
    });
    void made.loadURL(`${origin}/window/`);
    return (window = made);
  };

  const work = followWork({
    transport,
    app,
    window: () => window,
    powerSaveBlocker: electron.powerSaveBlocker,
    Notification: electron.Notification,
    words: () => words().work,
    go: to => {
      bringForward(window ?? open());
      tell({ action: to });
    },
  });
  const leave = quitting({
    app,
    work,
    owner: () => library.owner,
    close: async () => {
      work.stop();
      const install = await updates?.ending(); // asks the library, so before it is closed
      updates?.stop();
      await library.close();
      places.close();
      await install?.();
    },
    abandon: () => places.close(), // an engine sees that its owner has gone, and goes too
    show: (running, seconds) => {
      const { title, body } = words().leaving(running.length, seconds);
      new electron.Notification({ title, body }).show();
    },
  });
  electron.powerMonitor.on('shutdown', () => leave.end());

  const act = (action: MenuAction): void => tell({ action });
  let shortcuts: Readonly<Record<string, string | null>> = {};
  let updates: Updates | undefined;
  const showMenu = () => {
    const items = menuTemplate(process.platform, words().menu, act, { development, shortcuts, updates: updates?.menu() ?? [] });
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
    showMenu();
  };
  await readSettings();
  transport.subscribe(said => {
    const { data } = studioEvent.safeParse(said);
    if (data?.type === 'settings' || data?.type === 'restored') void readSettings();
    if (data?.type === 'restored') begin(); // this process may be the owner now
  });
  const begin = () => void transport.call('queue.start', {}); // what waits is made while this app lives
  begin();

  hand = files => {
    const clips = clipsIn(files, process.platform);
    if (clips.length === 0) return;
    bringForward(window ?? open());
    void Promise.allSettled(clips.map(path => places.admit(path))).then(found =>
      tell({ opened: found.flatMap(one => (one.status === 'fulfilled' ? [{ id: one.value.id, name: one.value.name }] : [])) }),
    );
  };
  app.on('second-instance', (_, others, cwd) => {
    bringForward(window ?? open());
    hand([...clipsIn(others.slice(1), process.platform, { cwd })]);
  });
  app.on('activate', () => {
    if (!window) open();
  });
  app.on('window-all-closed', () => undefined); // on a Mac the app stays; elsewhere its window's end is its own
  open();
  if (wanted.length > 0) hand(wanted);
}
