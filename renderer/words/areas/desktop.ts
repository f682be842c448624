/** @file Words of our own program alone: files and folders of the system that it runs on. */
import type { Words } from '../words.ts';

export const en = {
  showFinder: 'Show in Finder',
  showExplorer: 'Show in Explorer',
  showFiles: 'Show in the file manager',
  saveAs: 'Save as…',
  saveInto: 'Save into a folder…',
  saved: { one: 'Clip saved', other: '{n} clips saved' },
  savePoster: 'Save its picture as…',
  exportTo: 'Export to…',
  mostDragged: 'At most {n} files are dragged at once: these are the first ones.',
  copyFile: 'Copy a file into the library…',
  useFile: 'Use a file where it lies…',
  useFolder: 'Use a folder where it lies…',
  newClip: 'New clip',
  openClip: 'Open a clip',
  firstOnly: 'Clips are opened one at a time: this is {name}.',
} as const;

export const de: Words<typeof en> = {
  showFinder: 'Im Finder zeigen',
  showExplorer: 'Im Explorer anzeigen',
  showFiles: 'Im Dateimanager zeigen',
  saveAs: 'Speichern unter …',
  saveInto: 'In einen Ordner speichern …',
  saved: { one: 'Clip gespeichert', other: '{n} Clips gespeichert' },
  savePoster: 'Sein Bild speichern unter …',
  exportTo: 'Exportieren nach …',
  mostDragged: 'Höchstens {n} Dateien werden auf einmal gezogen: Das sind die ersten.',
  copyFile: 'Eine Datei in die Bibliothek kopieren …',
  useFile: 'Eine Datei verwenden, wo sie liegt …',
  useFolder: 'Einen Ordner verwenden, wo er liegt …',
  newClip: 'Neuer Clip',
  openClip: 'Einen Clip öffnen',
  firstOnly: 'Clips werden einzeln geöffnet: Das ist {name}.',
};

export const ar: Words<typeof en> = {
  showFinder: 'إظهار في Finder',
  showExplorer: 'إظهار في مستكشف الملفات',
  showFiles: 'إظهار في مدير الملفات',
  saveAs: 'حفظ باسم…',
  saveInto: 'حفظ في مجلد…',
  saved: {
    zero: 'لم يُحفظ أي مقطع',
    one: 'حُفظ المقطع',
    two: 'حُفظ مقطعان',
    few: 'حُفظت {n} مقاطع',
    many: 'حُفظ {n} مقطعًا',
    other: 'حُفظ {n} مقطع',
  },
  savePoster: 'حفظ صورته باسم…',
  exportTo: 'تصدير إلى…',
  mostDragged: 'يمكن سحب {n} ملف على الأكثر دفعة واحدة: هذه أولها.',
  copyFile: 'نسخ ملف إلى المكتبة…',
  useFile: 'استعمال ملف في مكانه…',
  useFolder: 'استعمال مجلد في مكانه…',
  newClip: 'مقطع جديد',
  openClip: 'فتح مقطع',
  firstOnly: 'تُفتح المقاطع واحدًا واحدًا: هذا {name}.',
};
