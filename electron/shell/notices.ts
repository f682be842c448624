/** @file The system's notifications: for whoever looks elsewhere, one of a kind at a time, each a way to what it speaks of. */
import type { BrowserWindow, Notification, NotificationConstructorOptions } from 'electron';

/** A sentence for the system's notification, and what stands above it. */
export interface Said {
  readonly title: string;
  readonly body: string;
}
/** What there can be to tell. */
export type NoticeKind = 'ready' | 'failed' | 'held' | 'exported' | 'exportFailed' | 'downloaded' | 'downloadFailed';

/** Electron's `Notification`, the class. */
export interface Notifications {
  new (options: NotificationConstructorOptions): Pick<Notification, 'on' | 'show' | 'close'>;
  isSupported(): boolean;
}

/** A place in the window by its address, or its queue. */
export type NoticePlace = `#/${string}` | 'queue';

export interface Notices {
  /** Tells it, unless somebody looks at the window. What was told of this kind before and not looked at is counted in, and taken away.
   * @param say gets how many there are now, this one among them */
  tell(kind: NoticeKind, to: NoticePlace, say: (count: number) => Said): void;
  /** Takes back what is not so any more. */
  close(kind: NoticeKind): void;
  /** Takes all back: somebody looks. */
  forget(): void;
}

export function notices({
  window,
  Notification,
  go,
}: {
  /** The window that is there now. */
  readonly window: () => Pick<BrowserWindow, 'isFocused'> | undefined;
  readonly Notification: Notifications;
  /** Takes the person to a place. */
  readonly go: (to: NoticePlace) => void;
}): Notices {
  const told = new Map<NoticeKind, { count: number; notification: Pick<Notification, 'close'> }>();
  return {
    tell: (kind, to, say) => {
      if (window()?.isFocused() || !Notification.isSupported()) return;
      const before = told.get(kind),
        count = (before?.count ?? 0) + 1,
        notification = new Notification({ ...say(count) });
      before?.notification.close();
      told.set(kind, { count, notification }); // kept: one that is collected can no longer be clicked
      notification.on('click', () => go(to));
      notification.show();
    },
    close: kind => {
      told.get(kind)?.notification.close();
      told.delete(kind);
    },
    forget: () => {
      for (const { notification } of told.values()) notification.close();
      told.clear();
    },
  };
}
