/** @file What the desktop says about updates, in every language of the window. Why something is refused or not there is the feed's own sentence, in English. German and Arabic are not reviewed yet. */
import type { Language } from './words.ts';

export interface UpdateWords {
  readonly look: string;
  readonly daily: string;
  readonly none: string;
  readonly failed: string;
  readonly found: (version: string, megabytes: number) => string;
  readonly coming: (version: string, percent: number) => string;
  readonly ready: (version: string) => string;
  readonly readyText: string;
  readonly agreed: (version: string) => string;
  readonly notice: (version: string) => { readonly title: string; readonly body: string };
  readonly download: string;
  readonly onQuit: string;
  readonly later: string;
  readonly goOn: string;
  readonly stop: string;
  readonly doNot: string;
}

export const updateWords: Readonly<Record<Language, UpdateWords>> = {
  en: {
    look: 'Check for Updates…',
    daily: 'Check Once a Day',
    none: 'There is nothing to install',
    failed: 'No update was made',
    found: (version, megabytes) => `Protagonist ${version} is there (${megabytes} MB)`,
    coming: (version, percent) => `Protagonist ${version} is being downloaded: ${percent} %`,
    ready: version => `Protagonist ${version} is downloaded and checked`,
    readyText: 'It can be installed when you quit, if nothing waits to be made by then.',
    agreed: version => `Protagonist ${version} is installed when you quit`,
    notice: version => ({ title: `Protagonist ${version} is there`, body: 'Check for updates in the menu to see what is new.' }),
    download: 'Download',
    onQuit: 'Install When I Quit',
    later: 'Not Now',
    goOn: 'Go On',
    stop: 'Stop',
    doNot: 'Do Not Install',
  },
  de: {
    look: 'Nach Updates suchen …',
    daily: 'Einmal am Tag suchen',
    none: 'Es gibt nichts zu installieren',
    failed: 'Es wurde nichts aktualisiert',
    found: (version, megabytes) => `Protagonist ${version} ist da (${megabytes} MB)`,
    coming: (version, percent) => `Protagonist ${version} wird geladen: ${percent} %`,
    ready: version => `Protagonist ${version} ist geladen und geprüft`,
    readyText: 'Es kann beim Beenden installiert werden, wenn dann nichts mehr wartet.',
    agreed: version => `Protagonist ${version} wird beim Beenden installiert`,
    notice: version => ({ title: `Protagonist ${version} ist da`, body: 'Was neu ist, steht im Menü unter „Nach Updates suchen“.' }),
    download: 'Laden',
    onQuit: 'Beim Beenden installieren',
    later: 'Jetzt nicht',
    goOn: 'Weiter',
    stop: 'Abbrechen',
    doNot: 'Nicht installieren',
  },
  ar: {
    look: 'البحث عن تحديثات…',
    daily: 'البحث مرة في اليوم',
    none: 'لا يوجد ما يُثبَّت',
    failed: 'لم يجرِ أي تحديث',
    found: (version, megabytes) => `الإصدار ${version} من Protagonist متاح (${megabytes} م.ب)`,
    coming: (version, percent) => `يجري تنزيل Protagonist ${version}: ‏${percent}٪`,
    ready: version => `نُزّل Protagonist ${version} وجرى التحقق منه`,
    readyText: 'يمكن تثبيته عند الإنهاء إن لم يبقَ شيء في الانتظار.',
    agreed: version => `سيُثبَّت Protagonist ${version} عند الإنهاء`,
    notice: version => ({ title: `الإصدار ${version} من Protagonist متاح`, body: 'ابحث عن التحديثات من القائمة لمعرفة الجديد.' }),
    download: 'تنزيل',
    onQuit: 'التثبيت عند الإنهاء',
    later: 'ليس الآن',
    goOn: 'متابعة',
    stop: 'إيقاف',
    doNot: 'عدم التثبيت',
  },
};
