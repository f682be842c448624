/**
 * @file Rules of the sources that Electron's checklist is held to: TypeScript by its syntax tree, Svelte's markup by the compiler's own. A rule reads one file
 * and says in one sentence, with file and line, what must not be there.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'svelte/compiler';
import ts from 'typescript';

/** Files by their path from the repository's root, `/` between names. */
export type Sources = ReadonlyMap<string, string>;

/** What the application consists of, and how it is packed; not its tests. */
export function readSources(root: string): Sources {
  const files = globSync(
    ['{electron,native-models,renderer,build}/**/*.{ts,svelte,html}', 'package.json', 'test/electron/supported.json'],
    { cwd: root },
  );
  return new Map(files.map(file => file.replaceAll('\\', '/')).map(file => [file, readFileSync(join(root, file), 'utf8')]));
}

/** The only files that import Electron. */
export const doors: readonly string[] = ['electron/shell/main.ts', 'electron/shell/preload.ts'];
/** Where messages of the page are heard. */
const listener = 'electron/shell/ipc.ts';
/** Where the window is made. */
const starter = 'electron/shell/start.ts';
/** What carries the window in a browser, over `protagonist serve`, and not here. */
const browserHost = 'renderer/host/browser.ts';

const inShell = (file: string) => file.startsWith('electron/shell/') && file.endsWith('.ts');
const inWindow = (file: string) => file.startsWith('renderer/') && file !== 'renderer/vite.config.ts';
const isCode = (file: string) => /\.(ts|svelte)$/.test(file);

/** A node of TypeScript's tree with what a rule asks of where it is. */
interface Place {
  readonly file: string;
  readonly node: ts.Node;
  readonly source: ts.SourceFile;
}
type Say = (what: string) => void;
interface Rule {
  /** Which files it reads. */
  readonly of: (file: string) => boolean;
  readonly typescript?: (place: Place, say: Say) => void;
  /** Elements and tags of Svelte's markup: `webview`, `{@html}`. */
  readonly markup?: (tag: Tag, say: Say) => void;
  /** What has to be true of all its files together. */
  readonly whole?: (sources: Sources, say: (file: string, what: string) => void) => void;
}
interface Tag {
  readonly type: string;
  readonly name?: string;
  readonly attributes?: readonly { readonly name?: string }[];
  readonly start: number;
  /** Of expressions in braces: what is called, what is set. */
  readonly callee?: { readonly name?: string };
  readonly left?: { readonly property?: { readonly name?: string } };
}

/** An object's key or a member's name, as text. */
const nameOf = (node: ts.Node): string | undefined =>
  ts.isIdentifier(node) || ts.isStringLiteralLike(node) || ts.isPrivateIdentifier(node) ? node.text : undefined;
/** The name by which a member is asked for: `a.b` and `a['b']`. */
const memberOf = (node: ts.Node): string | undefined =>
  ts.isPropertyAccessExpression(node)
    ? node.name.text
    : ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)
      ? node.argumentExpression.text
      : undefined;
/** What a key is set to: in an object or by an assignment. */
function setting(node: ts.Node): { readonly name: string; readonly to: ts.Expression | undefined } | undefined {
  if (ts.isPropertyAssignment(node)) {
    const name = nameOf(node.name);
    return name === undefined ? undefined : { name, to: node.initializer };
  }
  if (ts.isShorthandPropertyAssignment(node)) return { name: node.name.text, to: undefined };
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken) {
    const name = memberOf(node.left);
    return name === undefined ? undefined : { name, to: node.right };
  }
  return undefined;
}
/** A text as it stands in the source, also a template's first part. */
const textOf = (node: ts.Node): string | undefined =>
  ts.isStringLiteralLike(node) || node.kind === ts.SyntaxKind.TemplateHead || node.kind === ts.SyntaxKind.TemplateMiddle
    ? (node as ts.LiteralLikeNode).text
    : undefined;
const isType = (node: ts.Node): boolean => ts.isLiteralTypeNode(node.parent) || ts.isTypeNode(node.parent);
const calls = (node: ts.Node): node is ts.CallExpression | ts.NewExpression => ts.isCallExpression(node) || ts.isNewExpression(node);

const mustBeOn = new Set(['contextIsolation', 'webSecurity']);
const mustNotBe = new Set(['enableBlinkFeatures', 'disableBlinkFeatures', 'allowpopups', 'disablewebsecurity', 'additionalArguments']);
/** What is set to the wrong thing, among these names. */
const preference =
  (names: ReadonlySet<string>): NonNullable<Rule['typescript']> =>
  ({ node }, say) => {
    const set = setting(node);
    if (!set || !names.has(set.name)) return;
    if (mustNotBe.has(set.name)) return say(`${set.name} is set: it must not be there`);
    const wanted = mustBeOn.has(set.name) ? ts.SyntaxKind.TrueKeyword : ts.SyntaxKind.FalseKeyword;
    if (set.to?.kind !== wanted) say(`${set.name} is not plainly ${wanted === ts.SyntaxKind.TrueKeyword ? 'true' : 'false'}`);
  };
const preferences = (...names: string[]): Rule => ({ of: file => file.startsWith('electron/'), typescript: preference(new Set(names)) });

/** What takes text for code. */
const compilers = new Set(['eval', 'Function', 'execScript']);
/** What takes text for a document. */
const documents = new Set(['innerHTML', 'outerHTML', 'srcdoc']);
const writers = new Set(['insertAdjacentHTML', 'createContextualFragment', 'write', 'writeln', 'setHTMLUnsafe', 'parseHTMLUnsafe']);
/** Elements that hold pages or programs of others. */
const holders = new Set(['webview', 'iframe', 'frame', 'object', 'embed', 'portal', 'fencedframe']);
const makers = new Set(['BrowserWindow', 'BaseWindow', 'WebContentsView', 'BrowserView', 'Tray']);

/** Names in XML are no addresses that anything asks for. */
const isNamespace = (text: string) => text.startsWith('http://www.w3.org/');

/** Every rule by its name, which `checklist.ts` says the item of. */
export const rules = {
  /** 1 */
  'secure content': {
    of: file => (inShell(file) || (inWindow(file) && file !== browserHost)) && isCode(file),
    typescript: ({ node, file, source }, say) => {
      const text = textOf(node);
      if (text !== undefined && /^(http|ws|ftp):\/\//i.test(text) && !isNamespace(text))
        say(`${text} is an address without a secure connection`);
      if (!ts.isCallExpression(node) || memberOf(node.expression) !== 'loadURL') return;
      const [to] = node.arguments;
      if (file !== starter) say('only start.ts loads a page');
      else if (to?.getText(source) !== '`${origin}/window/`') say('a page is loaded that is not the window by its own origin');
    },
  },
  /** 2 */
  'node integration': preferences('nodeIntegration', 'nodeIntegrationInWorker', 'nodeIntegrationInSubFrames', 'enableRemoteModule'),
  /** 3 */
  'context isolation': preferences('contextIsolation'),
  /** 4: no switch is set by ourselves, least of all that one. */
  sandbox: {
    of: inShell,
    typescript: ({ node }, say) => {
      const set = setting(node);
      if (set?.name === 'sandbox' && set.to?.kind !== ts.SyntaxKind.TrueKeyword) say('sandbox is not plainly true');
      if (ts.isCallExpression(node) && /^append(Switch|Argument)$/.test(memberOf(node.expression) ?? ''))
        say(`${memberOf(node.expression)!} adds a switch of Chromium: what it opens is for this list to weigh first`);
    },
  },
  /** 6 */
  'web security': preferences('webSecurity', 'disablewebsecurity'),
  /** 7: nothing that the policy would have to allow. */
  'text as code': {
    of: file => isCode(file) && (file.startsWith('electron/') || inWindow(file) || file.startsWith('native-models/')),
    typescript: ({ node, file }, say) => {
      if (calls(node) && ts.isIdentifier(node.expression) && compilers.has(node.expression.text))
        say(`${node.expression.text} takes text for code`);
      if (ts.isCallExpression(node) && /^(setTimeout|setInterval)$/.test(nameOf(node.expression) ?? memberOf(node.expression) ?? '')) {
        const [first] = node.arguments;
        if (first && (ts.isStringLiteralLike(first) || ts.isTemplateExpression(first))) say('a timer takes text for code');
      }
      if (ts.isCallExpression(node) && memberOf(node.expression) === 'executeJavaScript') say('executeJavaScript takes text for code');
      if (ts.isImportDeclaration(node) && /^(node:)?vm$/.test(nameOf(node.moduleSpecifier) ?? '')) say('vm takes text for code');
      if (!inWindow(file)) return;
      const set = setting(node);
      if (set && documents.has(set.name)) say(`${set.name} takes text for a document`);
      if (ts.isCallExpression(node) && writers.has(memberOf(node.expression) ?? '')) {
        const on = ts.isPropertyAccessExpression(node.expression) ? node.expression.expression.getText() : '';
        if (!/^write(ln)?$/.test(memberOf(node.expression)!) || on === 'document')
          say(`${memberOf(node.expression)!} takes text for a document`);
      }
    },
    markup: ({ type, attributes = [], callee, left }, say) => {
      if (/^(Call|New)Expression$/.test(type) && compilers.has(callee?.name ?? '')) say(`${callee!.name!} takes text for code`);
      if (type === 'AssignmentExpression' && documents.has(left?.property?.name ?? ''))
        say(`${left!.property!.name!} takes text for a document`);
      if (type === 'HtmlTag') say('{@html} takes text for a document');
      for (const { name = '' } of attributes) if (/^on[a-z]+:/.test(name) || name === 'srcdoc') say(`${name} takes text for code`);
    },
  },
  /** 8 */
  'insecure content': preferences('allowRunningInsecureContent'),
  /** 9 */
  'experimental features': preferences('experimentalFeatures'),
  /** 10 */
  'blink features': preferences('enableBlinkFeatures', 'disableBlinkFeatures'),
  /** 11, 12 */
  webview: {
    of: file => (file.startsWith('electron/') || inWindow(file)) && isCode(file),
    typescript: (place, say) => {
      const { node } = place;
      preference(new Set(['webviewTag', 'allowpopups']))(place, say);
      if (ts.isCallExpression(node) && /^createElement(NS)?$/.test(memberOf(node.expression) ?? ''))
        for (const argument of node.arguments)
          if (ts.isStringLiteralLike(argument) && holders.has(argument.text.toLowerCase()))
            say(`<${argument.text}> holds a page of others`);
    },
    markup: ({ type, name = '' }, say) => {
      if (/Element$/.test(type) && holders.has(name.toLowerCase())) say(`<${name}> holds a page of others`);
    },
  },
  /** 13, 14 */
  'one window': {
    of: inShell,
    typescript: ({ node, file, source }, say) => {
      if (!ts.isNewExpression(node)) return;
      const made = nameOf(node.expression) ?? memberOf(node.expression) ?? '';
      if (!makers.has(made)) return;
      if (file !== starter || made !== 'BrowserWindow') return say(`${made} is made outside start.ts, without its walls`);
      const given = node.arguments?.[0]?.getText(source) ?? '';
      if (!/webPreferences: \{\s*\.\.\.webPreferences\([^]*session: ses,?\s*\}/.test(given))
        say('a window is made without the preferences of window.ts, or in another session');
    },
    whole: (sources, say) => {
      const text = sources.get(starter) ?? '',
        made = text.split(/new (?:electron\.)?BrowserWindow\(/).length - 1,
        secured = text.split(/\bsecure\(\{/).length - 1;
      if (made !== 1 || secured !== 1) say(starter, `${made} windows are made and ${secured} secured: each needs its walls`);
    },
  },
  /** 15 */
  'open external': {
    of: inShell,
    typescript: ({ node, file }, say) => {
      if (!ts.isCallExpression(node)) return;
      const name = memberOf(node.expression);
      if (name === 'openPath') say('openPath starts whatever the system has for a file');
      if (name === 'openExternal' && file !== starter) say('openExternal is called outside start.ts, where nothing looks at the address');
    },
    whole: (sources, say) => {
      const walls = sources.get('electron/shell/window.ts') ?? '';
      if (!/const page = mayOpen\(url\);\s*if \(page\) openExternal\(page\.href\)/.test(walls) || walls.split('openExternal(').length !== 2)
        say('electron/shell/window.ts', 'openExternal gets something else than what mayOpen has let through');
      if ((sources.get(starter) ?? '').split('.openExternal(').length !== 2)
        say(starter, 'openExternal is called in several places, or in none');
    },
  },
  /** 17 */
  'ipc listeners': {
    of: inShell,
    typescript: ({ node, file, source }, say) => {
      if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return;
      const { expression: on, name } = node.expression;
      if (!/^(on|once|handle|handleOnce|addListener)$/.test(name.text)) return;
      if (/(^|\.)(ipcMain|ipc)$/.test(on.getText(source)) && file !== listener)
        say(`${on.getText(source)}.${name.text} hears the page outside ipc.ts, where its sender is checked`);
    },
    whole: (sources, say) => {
      for (const [file, text] of sources)
        if (inShell(file) && /'ipcMain'|electron\.ipcMain|\.ipcMain\b/.test(text))
          say(file, 'ipcMain hears every window there is: ask one window’s own');
      const text = sources.get(listener) ?? '',
        heard = text.split(/\bipcMain\.(?:on|handle)\(/).length - 1,
        checked = text.split(/\bconst said = check\(/).length - 1;
      if (heard !== checked || heard === 0)
        say(listener, `${heard} listeners hear the page, and ${checked} check who it is and what it says`);
    },
  },
  /** 18 */
  'file scheme': {
    of: file => (inShell(file) || inWindow(file)) && isCode(file),
    typescript: ({ node }, say) => {
      const text = textOf(node);
      if (text !== undefined && /file:\/\//i.test(text) && !isType(node)) say(`${text} is an address of a file`);
      const called = ts.isCallExpression(node) ? memberOf(node.expression) : undefined;
      if (called === 'loadFile') say('loadFile shows a page by its path');
      if (called === 'registerFileProtocol' || called === 'interceptFileProtocol') say(`${called} serves files by their path`);
      const set = setting(node);
      if (
        set &&
        /^(bypassCSP|corsEnabled|allowServiceWorkers|allowExtensions)$/.test(set.name) &&
        set.to?.kind !== ts.SyntaxKind.FalseKeyword
      )
        say(`${set.name} gives a scheme more than it needs`);
    },
  },
  /** 19 */
  'fuse hook': {
    of: () => false,
    whole: (sources, say) => {
      const file = 'build/electron-builder.config.ts',
        source = ts.createSourceFile(file, sources.get(file) ?? '', ts.ScriptTarget.Latest, true);
      let hooks = 0;
      const look = (node: ts.Node) => {
        if (ts.isShorthandPropertyAssignment(node) && node.name.text === 'afterPack') hooks++;
        if (ts.isPropertyAssignment(node) && nameOf(node.name) === 'afterPack')
          say(file, 'afterPack is not the hook of build/after-pack.ts');
        if (ts.isPropertyAssignment(node) && nameOf(node.name) === 'electronFuses')
          say(file, 'electronFuses knows fewer fuses than the binary has: build/after-pack.ts sets them');
        ts.forEachChild(node, look);
      };
      look(source);
      if (hooks !== 1) say(file, 'afterPack is not there: no fuse would be set');
    },
  },
  /** 20 */
  'electron imports': {
    of: file => isCode(file),
    typescript: ({ node, file }, say) => {
      const of = (module: ts.Node | undefined) => {
        const name = module && ts.isStringLiteralLike(module) ? module.text : '';
        if (!/^(electron(\/.*)?|@electron\/remote(\/.*)?)$/.test(name)) return;
        if (name.startsWith('@electron/remote')) say(`${name} gives the page the main process`);
        else if (!doors.includes(file) || name !== 'electron') say(`${name} is imported; only ${doors.join(' and ')} may`);
      };
      if (ts.isImportDeclaration(node)) {
        const named = node.importClause?.namedBindings;
        const typesOnly =
          node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword ||
          (named &&
            ts.isNamedImports(named) &&
            !node.importClause?.name &&
            named.elements.length > 0 &&
            named.elements.every(one => one.isTypeOnly));
        if (!typesOnly || inWindow(file)) of(node.moduleSpecifier);
      }
      if (ts.isExportDeclaration(node) && !node.isTypeOnly) of(node.moduleSpecifier);
      if (ts.isExternalModuleReference(node)) of(node.expression);
      if (
        ts.isCallExpression(node) &&
        (node.expression.kind === ts.SyntaxKind.ImportKeyword ||
          nameOf(node.expression) === 'require' ||
          /^(require|getBuiltinModule)$/.test(memberOf(node.expression) ?? ''))
      )
        of(node.arguments[0]);
    },
  },
  /** 20: what the preload gives away. */
  preload: {
    of: file => file === doors[1],
    typescript: ({ node, source }, say) => {
      if (!ts.isIdentifier(node)) return;
      const parent = node.parent;
      if (ts.isImportSpecifier(parent) || ts.isTypeReferenceNode(parent)) return;
      const member = ts.isPropertyAccessExpression(parent) && parent.expression === node ? parent.name.text : undefined;
      const call =
        ts.isPropertyAccessExpression(parent) && ts.isCallExpression(parent.parent) && parent.parent.expression === parent
          ? parent.parent
          : undefined;
      const allowed: Readonly<Record<string, readonly string[]>> = {
        ipcRenderer: ['invoke', 'send', 'on', 'off'],
        webUtils: ['getPathForFile'],
        contextBridge: ['exposeInMainWorld'],
      };
      const may = Object.hasOwn(allowed, node.text) ? allowed[node.text]! : undefined;
      if (!may) return;
      if (member === undefined || !call || !may.includes(member))
        return say(`${node.text} is used other than by calling ${may.join(', ')}`);
      if (node.text !== 'ipcRenderer') return;
      const channel = call.arguments[0]?.getText(source) ?? '';
      if (!/^'protagonist:[a-z]+'$/.test(channel) && channel !== '`protagonist:${channel}`')
        say(`${channel} is a channel that is not written out`);
    },
    whole: (sources, say) => {
      const file = doors[1]!,
        source = ts.createSourceFile(file, sources.get(file) ?? '', ts.ScriptTarget.Latest, true);
      let exposed = 0;
      const look = (node: ts.Node) => {
        if (ts.isCallExpression(node) && memberOf(node.expression) === 'exposeInMainWorld') {
          exposed++;
          if (node.arguments[0]?.getText() !== "'protagonist'" || node.arguments[1]?.getText() !== 'bridge')
            say(file, 'exposeInMainWorld gives the page something else than the bridge');
        }
        if (ts.isCallExpression(node) && nameOf(node.expression) === 'ask' && !(node.arguments[0] && ts.isStringLiteral(node.arguments[0])))
          say(file, 'a channel is chosen by what the page says');
        ts.forEachChild(node, look);
      };
      look(source);
      if (exposed !== 1) say(file, `exposeInMainWorld is called ${exposed} times`);
    },
  },
} as const satisfies Readonly<Record<string, Rule>>;
export type RuleName = keyof typeof rules;

/** The scripts of a Svelte component, everything else blank, so that lines stay what they are. */
function scripts(text: string): string {
  let code = '',
    at = 0;
  for (const match of text.matchAll(/(<script[^>]*>)([^]*?)<\/script>/g)) {
    const begin = match.index + match[1]!.length;
    code += text.slice(at, begin).replace(/[^\n]/g, ' ') + match[2]!;
    at = begin + match[2]!.length;
  }
  return code;
}

/** Trees are made once: several rules read the same file. */
const trees = new Map<string, ts.SourceFile>(),
  markups = new Map<string, readonly Tag[]>();
function treeOf(file: string, text: string): ts.SourceFile {
  const known = trees.get(text);
  if (known) return known;
  const tree = ts.createSourceFile(file, file.endsWith('.svelte') ? scripts(text) : text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  trees.set(text, tree);
  return tree;
}
/** Every element, block and expression of a component's markup. */
function markupOf(text: string): readonly Tag[] {
  const known = markups.get(text);
  if (known) return known;
  const found: Tag[] = [];
  const look = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(look);
    if (typeof node !== 'object' || node === null) return;
    const { type } = node as Tag;
    if (typeof type === 'string') found.push(node as Tag);
    for (const [key, value] of Object.entries(node)) if (key !== 'instance' && key !== 'module' && key !== 'css') look(value);
  };
  look(parse(text, { modern: true }).fragment);
  markups.set(text, found);
  return found;
}

/** What a rule has found in a text before: most of what is read is what was read. */
const known = new Map<RuleName, Map<string, readonly string[]>>();

/** What one file alone breaks. */
function lintFile(rule: Rule, file: string, text: string): string[] {
  const found: string[] = [];
  if (rule.typescript && isCode(file)) {
    const source = treeOf(file, text);
    const look = (node: ts.Node): void => {
      rule.typescript!({ file, node, source }, what =>
        found.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}: ${what}.`),
      );
      ts.forEachChild(node, look);
    };
    look(source);
  }
  if (rule.markup && file.endsWith('.svelte'))
    for (const tag of markupOf(text))
      rule.markup(tag, what => found.push(`${file}:${text.slice(0, tag.start).split('\n').length}: ${what}.`));
  return found;
}

/** Holds the sources to one rule.
 * @returns a sentence for each place that breaks it, none where all is well */
export function lint(sources: Sources, name: RuleName): string[] {
  const rule: Rule = rules[name],
    before = known.get(name) ?? new Map<string, readonly string[]>(),
    found: string[] = [];
  known.set(name, before);
  for (const [file, text] of sources) {
    if (!rule.of(file)) continue;
    const key = `${file}\n${text}`,
      there = before.get(key) ?? lintFile(rule, file, text);
    before.set(key, there);
    found.push(...there);
  }
  rule.whole?.(sources, (file, what) => found.push(`${file}: ${what}.`));
  return [...new Set(found)];
}
