let electron = require("electron");
// electron/shell/preload.ts
/** @file All that the window's page gets of Electron: one function a command. No channel, event or path crosses; the main process checks everything anew. */
var ask = (channel, said) => electron.ipcRenderer.invoke(`protagonist:${channel}`, said);
electron.contextBridge.exposeInMainWorld("protagonist", {
	send: (line, said) => electron.ipcRenderer.send("protagonist:message", {
		line,
		said
	}),
	receive: (listener) => {
		const heard = (_, { line, said }) => listener(line, said);
		electron.ipcRenderer.on("protagonist:message", heard);
		return () => void electron.ipcRenderer.off("protagonist:message", heard);
	},
	path: (file) => {
		const path = electron.webUtils.getPathForFile(file);
		return path === "" ? void 0 : ask("path", path);
	},
	keep: (name, bytes) => ask("keep", {
		name,
		bytes
	}),
	pick: (kind) => ask("pick", kind),
	save: (what) => ask("save", what),
	drag: (ids) => ask("drag", { ids }),
	reveal: (id) => ask("reveal", { id }),
	asked: (listener) => {
		const heard = (_, said) => listener(said);
		electron.ipcRenderer.on("protagonist:asked", heard);
		return () => void electron.ipcRenderer.off("protagonist:asked", heard);
	}
});
