/** @file What the desktop itself says, in every language of the window: menus, dialogs, notifications. German and Arabic are not reviewed yet. */
import { languages } from '../contract/records.ts';
import type { FileKind } from '../contract/bridge.ts';
import type { LinkWords, MenuWords } from './window.ts';
import type { WorkWords } from './work.ts';

export type Language = (typeof languages)[number];
export interface ShellWords {
  readonly menu: MenuWords & LinkWords;
  readonly work: WorkWords;
  /** Kinds of files, as dialogs call them. */
  readonly files: Readonly<Record<FileKind, string>>;
  /** Why the program does not start, above the sentence that says it. */
  readonly notStarted: string;
  readonly noSandbox: string;
  /** @param name of the switch, without its dashes */
  readonly refusedSwitch: (name: string) => string;
  /** While an end waits: for clips that are painted, for exports that are nearly done. */
  readonly leaving: (clips: number, exports: number, seconds: number) => { readonly title: string; readonly body: string };
  /** Before an end that exports would not live to see. */
  readonly givesUp: (exports: number, name: string) => { readonly message: string; readonly detail: string };
  readonly stay: string;
  readonly pageDied: string;
  readonly pageDiedText: string;
  readonly pageHangs: string;
  readonly pageHangsText: string;
  readonly wait: string;
  readonly again: string;
  readonly quit: string;
  /** Beside the program's name and version. */
  readonly about: string;
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
      copyLink: 'Copy Link',
      copyLinkText: 'Copy Link Text',
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
      held: why => ({ title: 'The queue is waiting', body: why }),
      exported: (name, exports) => ({ title: exports === 1 ? 'Your export is done' : `${exports} exports are done`, body: name }),
      exportFailed: (name, why, exports) => ({
        title: exports === 1 ? 'An export failed' : `${exports} exports failed`,
        body: `${name}: ${why}`,
      }),
      downloaded: (name, checkpoints) => ({
        title: checkpoints === 1 ? 'A model has come' : `${checkpoints} models have come`,
        body: name,
      }),
      downloadFailed: (name, why, checkpoints) => ({
        title: checkpoints === 1 ? 'A download failed' : `${checkpoints} downloads failed`,
        body: `${name}: ${why}`,
      }),
    },
    files: { photos: 'Photos', model: 'Weights', clip: 'Clips', made: 'Clips and Pictures' },
    notStarted: 'Protagonist cannot start',
    noSandbox:
      'It was started with --no-sandbox, which takes the walls around its window away. On Linux this happens where the system forbids unprivileged user namespaces: install the .deb package, which asks for them, or allow them.',
    refusedSwitch: name =>
      `It was started with --${name}, which would open its window to other programs or take its walls away. Start it without.`,
    leaving: (clips, exports, seconds) => ({
      title: 'Protagonist is closing',
      body: [
        clips > 0 &&
          `It finishes the step of ${clips === 1 ? 'the clip' : `${clips} clips`} that is being painted; painting goes on at the next start.`,
        exports > 0 && `It finishes ${exports === 1 ? 'the export that is' : `${exports} exports that are`} nearly done.`,
        `At most ${seconds} s. Quit once more to end at once.`,
      ]
        .filter(Boolean)
        .join(' '),
    }),
    givesUp: (exports, name) => ({
      message: exports === 1 ? 'An export is not done yet' : `${exports} exports are not done yet`,
      detail: `If you quit now, ${exports === 1 ? `“${name}” is` : 'they are'} given up and leave no file. You can export again at any time. Clips and downloads go on at the next start.`,
    }),
    stay: 'Keep Open',
    pageDied: 'The window has stopped working',
    pageDiedText: 'Nothing is lost: clips go on being made. It can be loaded anew.',
    pageHangs: 'The window does not answer',
    pageHangsText: 'It may still be busy. Clips go on being made meanwhile.',
    wait: 'Wait',
    again: 'Load Anew',
    quit: 'Quit',
    about: 'Photos of a subject and a sentence become a video clip, on your own machine. Free software under the Apache License 2.0.',
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
      copyLink: 'Link kopieren',
      copyLinkText: 'Linktext kopieren',
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
      held: why => ({ title: 'Die Warteschlange wartet', body: why }),
      exported: (name, exports) => ({ title: exports === 1 ? 'Dein Export ist fertig' : `${exports} Exporte sind fertig`, body: name }),
      exportFailed: (name, why, exports) => ({
        title: exports === 1 ? 'Ein Export ist gescheitert' : `${exports} Exporte sind gescheitert`,
        body: `${name}: ${why}`,
      }),
      downloaded: (name, checkpoints) => ({
        title: checkpoints === 1 ? 'Ein Modell ist da' : `${checkpoints} Modelle sind da`,
        body: name,
      }),
      downloadFailed: (name, why, checkpoints) => ({
        title: checkpoints === 1 ? 'Ein Download ist gescheitert' : `${checkpoints} Downloads sind gescheitert`,
        body: `${name}: ${why}`,
      }),
    },
    files: { photos: 'Fotos', model: 'Gewichte', clip: 'Clips', made: 'Clips und Bilder' },
    notStarted: 'Protagonist kann nicht starten',
    noSandbox:
      'Es wurde mit --no-sandbox gestartet, was die Wände um sein Fenster wegnimmt. Unter Linux geschieht das, wo das System User-Namespaces für alle verbietet: Installiere das .deb-Paket, das sie anfordert, oder erlaube sie.',
    refusedSwitch: name =>
      `Es wurde mit --${name} gestartet, was sein Fenster für andere Programme öffnen oder seine Wände wegnehmen würde. Starte es ohne diese Option.`,
    leaving: (clips, exports, seconds) => ({
      title: 'Protagonist wird beendet',
      body: [
        clips > 0 &&
          `Der Schritt, an dem gerade gemalt wird (${clips === 1 ? 'ein Clip' : `${clips} Clips`}), wird noch fertig; beim nächsten Start geht es dort weiter.`,
        exports > 0 &&
          (exports === 1 ? 'Ein Export, der fast fertig ist, auch noch.' : `${exports} Exporte, die fast fertig sind, auch noch.`),
        `Höchstens ${seconds} s. Noch einmal beenden: sofort.`,
      ]
        .filter(Boolean)
        .join(' '),
    }),
    givesUp: (exports, name) => ({
      message: exports === 1 ? 'Ein Export ist noch nicht fertig' : `${exports} Exporte sind noch nicht fertig`,
      detail: `Beim Beenden ${exports === 1 ? `wird „${name}“` : 'werden sie'} abgebrochen, ohne dass eine Datei bleibt. Exportieren geht jederzeit von Neuem. Clips und Downloads machen beim nächsten Start weiter.`,
    }),
    stay: 'Geöffnet lassen',
    pageDied: 'Das Fenster reagiert nicht mehr',
    pageDiedText: 'Nichts ist verloren: Clips werden weiter gemacht. Es kann neu geladen werden.',
    pageHangs: 'Das Fenster antwortet nicht',
    pageHangsText: 'Vielleicht ist es noch beschäftigt. Clips werden währenddessen weiter gemacht.',
    wait: 'Warten',
    again: 'Neu laden',
    quit: 'Beenden',
    about: 'Aus Fotos eines Motivs und einem Satz wird ein Videoclip, auf dem eigenen Rechner. Freie Software unter der Apache-Lizenz 2.0.',
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
      copyLink: 'نسخ الرابط',
      copyLinkText: 'نسخ نص الرابط',
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
      held: why => ({ title: 'قائمة الانتظار متوقفة مؤقتًا', body: why }),
      exported: (name, exports) => ({ title: exports === 1 ? 'اكتمل التصدير' : `عمليات التصدير المكتملة: ${exports}`, body: name }),
      exportFailed: (name, why, exports) => ({
        title: exports === 1 ? 'فشل التصدير' : `عمليات التصدير التي فشلت: ${exports}`,
        body: `${name}: ${why}`,
      }),
      downloaded: (name, checkpoints) => ({ title: checkpoints === 1 ? 'وصل نموذج' : `النماذج التي وصلت: ${checkpoints}`, body: name }),
      downloadFailed: (name, why, checkpoints) => ({
        title: checkpoints === 1 ? 'فشل تنزيل' : `التنزيلات التي فشلت: ${checkpoints}`,
        body: `${name}: ${why}`,
      }),
    },
    files: { photos: 'صور', model: 'أوزان', clip: 'مقاطع', made: 'مقاطع وصور' },
    notStarted: 'لا يمكن بدء Protagonist',
    noSandbox:
      'بدأ البرنامج بالخيار ‎--no-sandbox الذي يزيل الجدران حول نافذته. يحدث هذا في لينكس حيث يمنع النظام مساحات أسماء المستخدمين: ثبّت حزمة ‎.deb التي تطلبها، أو اسمح بها.',
    refusedSwitch: name => `بدأ البرنامج بالخيار \u200E--${name} الذي قد يفتح نافذته لبرامج أخرى أو يزيل جدرانها. شغّله من دونه.`,
    leaving: (clips, exports, seconds) => ({
      title: 'يجري إغلاق Protagonist',
      body: [
        clips > 0 && `تُكمَل الخطوة الجارية (المقاطع: ${clips})، ويُستأنف الرسم عند البدء التالي.`,
        exports > 0 && `يُكمَل التصدير الذي أوشك على الانتهاء (العدد: ${exports}).`,
        `خلال ${seconds} ث على الأكثر. أنهِ مرة أخرى للإغلاق فورًا.`,
      ]
        .filter(Boolean)
        .join(' '),
    }),
    givesUp: (exports, name) => ({
      message: exports === 1 ? 'لم يكتمل التصدير بعد' : `عمليات التصدير التي لم تكتمل بعد: ${exports}`,
      detail: `${exports === 1 ? `إذا أنهيت الآن يُلغى تصدير «${name}»` : 'إذا أنهيت الآن تُلغى'} ولا يبقى أي ملف. يمكنك التصدير من جديد في أي وقت. تُستأنف المقاطع والتنزيلات عند البدء التالي.`,
    }),
    stay: 'إبقاؤه مفتوحًا',
    pageDied: 'توقفت النافذة عن العمل',
    pageDiedText: 'لم يضع شيء: المقاطع ما زالت تُصنع. يمكن تحميلها من جديد.',
    pageHangs: 'النافذة لا تستجيب',
    pageHangsText: 'قد تكون مشغولة. المقاطع ما زالت تُصنع في هذه الأثناء.',
    wait: 'انتظار',
    again: 'تحميل من جديد',
    quit: 'إنهاء',
    about: 'صور شخصية وجملة تصبح مقطع فيديو على جهازك. برنامج حر برخصة Apache 2.0.',
  },
};

/** @param chosen as the settings say it
 * @param system the system's, as Electron names it: `de-AT` */
export const shellWords = (chosen: 'system' | Language, system: string): ShellWords => all[languageOf(chosen, system)];
/** The language that is spoken: English where the system speaks none of ours. */
export const languageOf = (chosen: 'system' | Language, system: string): Language =>
  (chosen === 'system' ? languages.find(l => system.toLowerCase().split('-')[0] === l) : chosen) ?? 'en';
