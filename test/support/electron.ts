/** @file An Electron that only remembers: every member that the app uses, by its own types, and an error for any other one. */
import { EventEmitter } from 'node:events';
import type * as Electron from 'electron';
import type { ElectronUsed } from '../../electron/shell/start.ts';
import { utilityFork } from './utility.ts';

/** Throws on every member that is not there: what a fake lets pass, the real one may not have. */
export function strict<T extends object>(name: string, members: Partial<T>): T {
  return new Proxy(members, {
    get(target, key) {
      if (typeof key === 'symbol' || key === 'then' || key in target) return Reflect.get(target, key, target) as unknown;
      throw new Error(`${name}.${key} is no member that the app is known to use`);
    },
  }) as T;
}

export interface Fake {
  readonly electron: ElectronUsed;
  /** What was called, in order: `app.enableSandbox`. */
  readonly calls: { readonly name: string; readonly args: readonly unknown[] }[];
  readonly app: EventEmitter & { name: string };
  /** Events of the others. */
  readonly power: EventEmitter;
  readonly screen: EventEmitter;
  readonly theme: { readonly events: EventEmitter; dark: boolean };
  readonly windows: FakeWindow[];
  /** Handlers of the window's session. */
  readonly schemes: Map<string, (request: Request) => Promise<Response> | Response>;
  readonly permissions: Record<string, (...args: never[]) => unknown>;
  /** The exit status, once there is one. */
  readonly ended: Promise<number>;
  menu: Electron.MenuItemConstructorOptions[];
  /** Menus at the pointer. */
  readonly popups: Electron.MenuItemConstructorOptions[][];
  /** Clicks on notifications, the last one last. */
  readonly clicks: (() => void)[];
  /** What a person answers to a question: the number of a button, or when that is known. */
  answer: (asked: Electron.MessageBoxOptions) => number | Promise<number>;
}
export interface FakeWindow {
  readonly options: Electron.BrowserWindowConstructorOptions;
  readonly events: EventEmitter;
  readonly contents: EventEmitter;
  readonly ipc: EventEmitter & { readonly handlers: Map<string, (...args: unknown[]) => unknown> };
  readonly sent: (readonly [channel: string, said: unknown])[];
  readonly loaded: string[];
  /** The page's main frame: what a message of it comes from. */
  readonly frame: Electron.WebFrameMain;
  opens(url: string): Electron.WindowOpenHandlerResponse;
  close(): void;
  /** What the system says of it. */
  readonly is: { focused: boolean; fullScreen: boolean; bounds: Electron.Rectangle };
}

/** @param userData a folder that is there
 * @param says what is answered where the app asks: another instance, switches, packed or not */
export function fakeElectron(
  userData: string,
  says: { readonly first?: boolean; readonly switches?: readonly string[]; readonly packed?: boolean } = {},
): Fake {
  const { first = true, switches = [], packed = false } = says;
  const calls: Fake['calls'] = [],
    windows: FakeWindow[] = [],
    schemes: Fake['schemes'] = new Map(),
    permissions: Fake['permissions'] = {},
    ended = Promise.withResolvers<number>();
  const note =
    (name: string, answer?: (...args: never[]) => unknown) =>
    (...args: unknown[]): unknown => {
      calls.push({ name, args });
      return answer?.(...(args as never[]));
    };
  const emitter = (): Pick<EventEmitter, 'on' | 'once' | 'off'> & { events: EventEmitter } => {
    const events = new EventEmitter();
    return { events, on: events.on.bind(events), once: events.once.bind(events), off: events.off.bind(events) };
  };
  const app = emitter();
  const fake: Pick<Fake, 'menu' | 'answer'> = { menu: [], answer: () => 0 },
    popups: Fake['popups'] = [],
    clicks: Fake['clicks'] = [],
    power = emitter(),
    screen = emitter(),
    theme = Object.assign(emitter(), { dark: false });
  let quits = 0;
  const quit = () => {
    if (++quits > 5) throw new Error('it quits again and again');
    let prevented = false;
    app.events.emit('before-quit', { preventDefault: () => (prevented = true) });
    if (!prevented) {
      for (const window of windows) window.close();
      ended.resolve(0);
    }
  };

  const handle = (name: string) => note(name, (answer: (...args: never[]) => unknown) => void (permissions[name] = answer));
  const ses = emitter();
  const session = strict<Electron.Session>('session', {
    ...(ses as unknown as Electron.Session),
    protocol: strict<Electron.Protocol>('session.protocol', {
      handle: note('session.protocol.handle', (scheme: string, answer: (request: Request) => Response) => schemes.set(scheme, answer)), // prettier-ignore
    }),
    setPermissionRequestHandler: handle('setPermissionRequestHandler'),
    setPermissionCheckHandler: handle('setPermissionCheckHandler'),
    setDevicePermissionHandler: handle('setDevicePermissionHandler'),
    setDisplayMediaRequestHandler: handle('setDisplayMediaRequestHandler'),
    setCertificateVerifyProc: handle('setCertificateVerifyProc'),
    setSpellCheckerEnabled: note('setSpellCheckerEnabled'),
    webRequest: strict<Electron.WebRequest>('webRequest', { onBeforeRequest: handle('onBeforeRequest') }), // prettier-ignore
  });

  class BrowserWindow {
    constructor(options: Electron.BrowserWindowConstructorOptions) {
      calls.push({ name: 'new BrowserWindow', args: [options] });
      const own = emitter(),
        contents = emitter(),
        ipc = emitter(),
        handlers = new Map<string, (...args: unknown[]) => unknown>(),
        sent: (readonly [string, unknown])[] = [],
        loaded: string[] = [];
      let destroyed = false,
        opens: (details: Electron.HandlerDetails) => Electron.WindowOpenHandlerResponse = () => ({ action: 'allow' });
      const frame = { processId: 7, frameToken: 'main', parent: null, origin: 'app://protagonist', url: 'app://protagonist/window/' } as Electron.WebFrameMain; // prettier-ignore
      const is: FakeWindow['is'] = {
        focused: true,
        fullScreen: options.fullscreen ?? false,
        bounds: { x: 10, y: 20, width: 1000, height: 700 },
      };
      const close = () => {
        let prevented = false;
        own.events.emit('close', { preventDefault: () => (prevented = true) });
        if (prevented || destroyed) return;
        destroyed = true;
        own.events.emit('closed');
      };
      windows.push({
        options,
        events: own.events,
        contents: contents.events,
        ipc: Object.assign(ipc.events, { handlers }),
        sent,
        loaded,
        frame,
        opens: url => opens({ url } as Electron.HandlerDetails),
        close,
        is,
      });
      return strict<Electron.BrowserWindow>('BrowserWindow', {
        ...(own as unknown as Electron.BrowserWindow),
        webContents: strict<Electron.WebContents>('webContents', {
          ...(contents as unknown as Electron.WebContents),
          mainFrame: frame,
          isDestroyed: () => destroyed,
          send: (channel: string, said: unknown) => void sent.push([channel, said]),
          startDrag: note('startDrag'),
          reload: note('reload'),
          forcefullyCrashRenderer: note('forcefullyCrashRenderer'),
          replaceMisspelling: note('replaceMisspelling'),
          setZoomFactor: note('setZoomFactor'),
          setWindowOpenHandler: (answer: typeof opens) => void (opens = answer),
          setWebRTCIPHandlingPolicy: note('setWebRTCIPHandlingPolicy'),
          ipc: strict<Electron.IpcMain>('ipc', {
            ...(ipc as unknown as Electron.IpcMain),
            handle: (channel: string, answer: (event: Electron.IpcMainInvokeEvent, ...args: unknown[]) => unknown) =>
              void handlers.set(channel, answer as (...args: unknown[]) => unknown),
            removeHandler: (channel: string) => void handlers.delete(channel),
          }),
        }),
        loadURL: (url: string) => {
          loaded.push(url);
          own.events.emit('ready-to-show');
          contents.events.emit('dom-ready');
          contents.events.emit('did-finish-load');
          return Promise.resolve();
        },
        show: note('show'),
        focus: note('focus'),
        restore: note('restore'),
        maximize: note('maximize'),
        isMinimized: () => false,
        isMaximized: () => false,
        isFocused: () => is.focused,
        isFullScreen: () => is.fullScreen,
        isDestroyed: () => destroyed,
        getNormalBounds: () => is.bounds,
        setBounds: note('setBounds'),
        setBackgroundColor: note('setBackgroundColor'),
        setProgressBar: note('setProgressBar'),
      });
    }
  }
  const area = { x: 0, y: 0, width: 1920, height: 1040 };
  const electron: ElectronUsed = {
    app: strict<Electron.App>('app', {
      ...(app as unknown as Electron.App),
      isPackaged: packed,
      enableSandbox: note('app.enableSandbox'),
      requestSingleInstanceLock: note('app.requestSingleInstanceLock', () => first) as () => boolean,
      whenReady: note('app.whenReady', () => Promise.resolve()) as () => Promise<void>,
      getLocale: () => 'en-GB',
      getPath: () => userData,
      quit: note('app.quit', quit),
      exit: note('app.exit', (status = 0) => ended.resolve(status)),
      relaunch: note('app.relaunch'),
      disableHardwareAcceleration: note('app.disableHardwareAcceleration'),
      setAboutPanelOptions: note('app.setAboutPanelOptions'),
      setActivationPolicy: note('app.setActivationPolicy'),
      setAppUserModelId: note('app.setAppUserModelId'),
      setDesktopName: note('app.setDesktopName'),
      commandLine: strict<Electron.CommandLine>('commandLine', {
        hasSwitch: (name: string) => switches.includes(name),
        removeSwitch: note('commandLine.removeSwitch'),
      }),
    }),
    BrowserWindow: BrowserWindow as unknown as typeof Electron.BrowserWindow,
    dialog: strict<Electron.Dialog>('dialog', {
      showErrorBox: note('dialog.showErrorBox'),
      showMessageBox: note('dialog.showMessageBox', async (...asked) => ({ response: await fake.answer(asked.at(-1)!), checkboxChecked: false })) as Electron.Dialog['showMessageBox'], // prettier-ignore
      showOpenDialog: note('dialog.showOpenDialog', () => Promise.resolve({ canceled: true, filePaths: [] })) as Electron.Dialog['showOpenDialog'], // prettier-ignore
      showSaveDialog: note('dialog.showSaveDialog', () => Promise.resolve({ canceled: true, filePath: '' })) as Electron.Dialog['showSaveDialog'], // prettier-ignore
    }),
    Menu: strict<typeof Electron.Menu>('Menu', {
      buildFromTemplate: (template: Electron.MenuItemConstructorOptions[]) => {
        const popup = () => void popups.push(template);
        return strict<Electron.Menu>('menu', { popup, items: template as unknown as Electron.MenuItem[] });
      },
      setApplicationMenu: note('Menu.setApplicationMenu', (menu: Electron.Menu) => (fake.menu = menu.items as unknown as Fake['menu'])), // prettier-ignore
    }),
    nativeImage: strict<typeof Electron.nativeImage>('nativeImage', { createFromPath: note('nativeImage.createFromPath', path => ({ path })) as unknown as typeof Electron.nativeImage.createFromPath }), // prettier-ignore
    nativeTheme: strict<Electron.NativeTheme>('nativeTheme', {
      ...(theme as unknown as Electron.NativeTheme),
      get shouldUseDarkColors() {
        return theme.dark;
      },
      get themeSource() {
        return 'system' as const;
      },
      set themeSource(source: Electron.NativeTheme['themeSource']) {
        calls.push({ name: 'nativeTheme.themeSource', args: [source] });
      },
    }),
    clipboard: strict<Electron.Clipboard>('clipboard', { writeText: note('clipboard.writeText') as Electron.Clipboard['writeText'] }),
    Notification: Object.assign(
      class {
        constructor(options: Electron.NotificationConstructorOptions) {
          calls.push({ name: 'new Notification', args: [options] });
        }
        on(_: string, click: () => void) {
          clicks.push(click);
          return this;
        }
        show() {
          calls.push({ name: 'notification.show', args: [] });
        }
        close() {
          calls.push({ name: 'notification.close', args: [] });
        }
      },
      { isSupported: () => true },
    ) as unknown as typeof Electron.Notification,
    powerMonitor: strict<Electron.PowerMonitor>('powerMonitor', power as unknown as Electron.PowerMonitor),
    powerSaveBlocker: strict<Electron.PowerSaveBlocker>('powerSaveBlocker', {
      start: note('powerSaveBlocker.start', () => 3) as () => number,
      stop: note('powerSaveBlocker.stop', () => true) as () => boolean,
    }),
    protocol: strict<Electron.Protocol>('protocol', { registerSchemesAsPrivileged: note('protocol.registerSchemesAsPrivileged') }), // prettier-ignore
    safeStorage: strict<Electron.SafeStorage>('safeStorage', {
      getSelectedStorageBackend: () => 'gnome_libsecret',
      isAsyncEncryptionAvailable: () => Promise.resolve(true),
      encryptStringAsync: note('safeStorage.encryptStringAsync', (text: string) => Promise.resolve(Buffer.from(text).map(byte => byte ^ 0x5a))) as Electron.SafeStorage['encryptStringAsync'], // prettier-ignore
      decryptStringAsync: note('safeStorage.decryptStringAsync', (bytes: Buffer) => Promise.resolve({ result: bytes.map(byte => byte ^ 0x5a).toString(), shouldReEncrypt: false })) as Electron.SafeStorage['decryptStringAsync'], // prettier-ignore
    }),
    screen: strict<Electron.Screen>('screen', {
      ...(screen as unknown as Electron.Screen),
      getPrimaryDisplay: () => ({ workArea: area }) as Electron.Display,
      getAllDisplays: () => [{ workArea: area } as Electron.Display],
    }),
    session: strict<typeof Electron.session>('session', { fromPartition: note('session.fromPartition', () => session) as unknown as typeof Electron.session.fromPartition }), // prettier-ignore
    shell: strict<Electron.Shell>('shell', {
      openExternal: note('shell.openExternal', () => Promise.resolve()) as () => Promise<void>,
      showItemInFolder: note('shell.showItemInFolder'),
    }),
    utilityProcess: strict<typeof Electron.utilityProcess>('utilityProcess', { fork: utilityFork }),
  };
  return {
    electron: strict<ElectronUsed>('electron', electron),
    calls,
    app: app.events as Fake['app'],
    windows,
    schemes,
    permissions,
    ended: ended.promise,
    power: power.events,
    screen: screen.events,
    theme,
    popups,
    clicks,
    get answer() {
      return fake.answer;
    },
    set answer(answer) {
      fake.answer = answer;
    },
    get menu() {
      return fake.menu;
    },
    set menu(menu) {
      fake.menu = menu;
    },
  };
}
