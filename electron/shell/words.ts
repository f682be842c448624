/** @file What the desktop itself says, in every language of the window: menus, dialogs, notifications. German and Arabic are not reviewed yet. */
import { languages } from '../contract/records.ts';
import type { FileKind } from '../contract/bridge.ts';
import type { MenuWords } from './window.ts';
import type { WorkWords } from './work.ts';

export type Language = (typeof languages)[number];
export interface ShellWords {
  readonly menu: MenuWords;
  readonly work: WorkWords;
  /** Kinds of files, as dialogs call them. */
  readonly files: Readonly<Record<FileKind, string>>;
  /** Why the program does not start, above the sentence that says it. */
  readonly notStarted: string;
  readonly noSandbox: string;
  /** @param name of the switch, without its dashes */
  readonly refusedSwitch: (name: string) => string;
  /** While an end waits. */
  readonly leaving: (clips: number, seconds: number) => { readonly title: string; readonly body: string };
  readonly pageDied: string;
  readonly pageDiedText: string;
  readonly again: string;
  readonly quit: string;
}

const all: Readonly<Record<Language, ShellWords>> = {
  en: {
    menu: {
      file: 'File',
      newClip: 'New Clip',
      openClip: 'Open Clip…',
      settings: 'Settings…',
      closeWindow: 'Close Window',
      quit: 'Quit Protagonist',
      edit: 'Edit',
      undo: 'Undo',
      redo: 'Redo',
      cut: 'Cut',
      copy: 'Copy',
      paste: 'Paste',
      pasteAsText: 'Paste as Text',
      delete: 'Delete',
      selectAll: 'Select All',
      view: 'View',
      subjects: 'Subjects',
      create: 'Create',
      library: 'Library',
      queue: 'Queue',
      actualSize: 'Actual Size',
      zoomIn: 'Zoom In',
      zoomOut: 'Zoom Out',
      fullScreen: 'Full Screen',
      window: 'Window',
      minimize: 'Minimize',
      zoom: 'Zoom',
      front: 'Bring All to Front',
      help: 'Help',
      shortcuts: 'Shortcuts',
      about: 'About Protagonist',
      services: 'Services',
      hide: 'Hide Protagonist',
      hideOthers: 'Hide Others',
      showAll: 'Show All',
    },
    work: {
      ready: (name, clips) => ({ title: clips === 1 ? 'Your clip is ready' : `${clips} clips are ready`, body: name }),
      failed: (name, why, jobs) => ({ title: jobs === 1 ? 'A clip failed' : `${jobs} clips failed`, body: `${name}: ${why}` }),
    },
    files: { photos: 'Photos', model: 'Weights', clip: 'Clips', made: 'Clips and Pictures' },
    notStarted: 'Protagonist cannot start',
    noSandbox:
      'It was started with --no-sandbox, which takes the walls around its window away. On Linux this happens where the system forbids unprivileged user namespaces: install the .deb package, which asks for them, or allow them.',
    refusedSwitch: name =>
      `It was started with --${name}, which would open its window to other programs or take its walls away. Start it without.`,
    leaving: (clips, seconds) => ({
      title: 'Protagonist is closing',
      body: `It finishes the step of ${clips === 1 ? 'the clip' : `${clips} clips`} that is being painted, at most ${seconds} s. Painting goes on at the next start. Quit once more to end at once.`,
    }),
    pageDied: 'The window has stopped working',
    pageDiedText: 'Nothing is lost: clips go on being made. It can be loaded anew.',
    again: 'Load Anew',
    quit: 'Quit',
  },
  de: {
    menu: {
      file: 'Datei',
      newClip: 'Neuer Clip',
      openClip: 'Clip öffnen …',
      settings: 'Einstellungen …',
      closeWindow: 'Fenster schließen',
      quit: 'Protagonist beenden',
      edit: 'Bearbeiten',
      undo: 'Rückgängig',
      redo: 'Wiederholen',
      cut: 'Ausschneiden',
      copy: 'Kopieren',
      paste: 'Einfügen',
      pasteAsText: 'Als Text einfügen',
      delete: 'Löschen',
      selectAll: 'Alles auswählen',
      view: 'Ansicht',
      subjects: 'Motive',
      create: 'Erstellen',
      library: 'Bibliothek',
      queue: 'Warteschlange',
      actualSize: 'Originalgröße',
      zoomIn: 'Größer',
      zoomOut: 'Kleiner',
      fullScreen: 'Vollbild',
      window: 'Fenster',
      minimize: 'Minimieren',
      zoom: 'Zoomen',
      front: 'Alle nach vorne bringen',
      help: 'Hilfe',
      shortcuts: 'Tastenkürzel',
      about: 'Über Protagonist',
      services: 'Dienste',
      hide: 'Protagonist ausblenden',
      hideOthers: 'Andere ausblenden',
      showAll: 'Alle einblenden',
    },
    work: {
      ready: (name, clips) => ({ title: clips === 1 ? 'Dein Clip ist fertig' : `${clips} Clips sind fertig`, body: name }),
      failed: (name, why, jobs) => ({
        title: jobs === 1 ? 'Ein Clip ist gescheitert' : `${jobs} Clips sind gescheitert`,
        body: `${name}: ${why}`,
      }),
    },
    files: { photos: 'Fotos', model: 'Gewichte', clip: 'Clips', made: 'Clips und Bilder' },
    notStarted: 'Protagonist kann nicht starten',
    noSandbox:
      'Es wurde mit --no-sandbox gestartet, was die Wände um sein Fenster wegnimmt. Unter Linux geschieht das, wo das System User-Namespaces für alle verbietet: Installiere das .deb-Paket, das sie anfordert, oder erlaube sie.',
    refusedSwitch: name =>
      `Es wurde mit --${name} gestartet, was sein Fenster für andere Programme öffnen oder seine Wände wegnehmen würde. Starte es ohne diese Option.`,
    leaving: (clips, seconds) => ({
      title: 'Protagonist wird beendet',
      body: `Der Schritt, an dem gerade gemalt wird (${clips === 1 ? 'ein Clip' : `${clips} Clips`}), wird noch fertig, höchstens ${seconds} s. Beim nächsten Start geht es dort weiter. Noch einmal beenden: sofort.`,
    }),
    pageDied: 'Das Fenster reagiert nicht mehr',
    pageDiedText: 'Nichts ist verloren: Clips werden weiter gemacht. Es kann neu geladen werden.',
    again: 'Neu laden',
    quit: 'Beenden',
  },
  ar: {
    menu: {
      file: 'ملف',
      newClip: 'مقطع جديد',
      openClip: 'فتح مقطع…',
      settings: 'الإعدادات…',
      closeWindow: 'إغلاق النافذة',
      quit: 'إنهاء Protagonist',
      edit: 'تحرير',
      undo: 'تراجع',
      redo: 'إعادة',
      cut: 'قص',
      copy: 'نسخ',
      paste: 'لصق',
      pasteAsText: 'لصق كنص',
      delete: 'حذف',
      selectAll: 'تحديد الكل',
      view: 'عرض',
      subjects: 'الشخصيات',
      create: 'إنشاء',
      library: 'المكتبة',
      queue: 'قائمة الانتظار',
      actualSize: 'الحجم الفعلي',
      zoomIn: 'تكبير',
      zoomOut: 'تصغير',
      fullScreen: 'ملء الشاشة',
      window: 'نافذة',
      minimize: 'تصغير النافذة',
      zoom: 'تكبير النافذة',
      front: 'إحضار الكل إلى الأمام',
      help: 'مساعدة',
      shortcuts: 'الاختصارات',
      about: 'حول Protagonist',
      services: 'الخدمات',
      hide: 'إخفاء Protagonist',
      hideOthers: 'إخفاء الآخرين',
      showAll: 'إظهار الكل',
    },
    work: {
      ready: (name, clips) => ({ title: clips === 1 ? 'مقطعك جاهز' : `المقاطع الجاهزة: ${clips}`, body: name }),
      failed: (name, why, jobs) => ({ title: jobs === 1 ? 'فشل مقطع' : `المقاطع التي فشلت: ${jobs}`, body: `${name}: ${why}` }),
    },
    files: { photos: 'صور', model: 'أوزان', clip: 'مقاطع', made: 'مقاطع وصور' },
    notStarted: 'لا يمكن بدء Protagonist',
    noSandbox:
      'بدأ البرنامج بالخيار ‎--no-sandbox الذي يزيل الجدران حول نافذته. يحدث هذا في لينكس حيث يمنع النظام مساحات أسماء المستخدمين: ثبّت حزمة ‎.deb التي تطلبها، أو اسمح بها.',
    refusedSwitch: name => `بدأ البرنامج بالخيار \u200E--${name} الذي قد يفتح نافذته لبرامج أخرى أو يزيل جدرانها. شغّله من دونه.`,
    leaving: (clips, seconds) => ({
      title: 'يجري إغلاق Protagonist',
      body: `تُكمَل الخطوة الجارية (المقاطع: ${clips}) خلال ${seconds} ث على الأكثر، ويُستأنف الرسم عند البدء التالي. أنهِ مرة أخرى للإغلاق فورًا.`,
    }),
    pageDied: 'توقفت النافذة عن العمل',
    pageDiedText: 'لم يضع شيء: المقاطع ما زالت تُصنع. يمكن تحميلها من جديد.',
    again: 'تحميل من جديد',
    quit: 'إنهاء',
  },
};

/** @param chosen as the settings say it
 * @param system the system's, as Electron names it: `de-AT` */
export const shellWords = (chosen: 'system' | Language, system: string): ShellWords => all[languageOf(chosen, system)];
/** The language that is spoken: English where the system speaks none of ours. */
export const languageOf = (chosen: 'system' | Language, system: string): Language =>
  (chosen === 'system' ? languages.find(l => system.toLowerCase().split('-')[0] === l) : chosen) ?? 'en';
