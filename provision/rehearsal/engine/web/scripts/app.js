// ComfyUI's page in miniature: extensions, what it opens first, a graph to look at, Run and the picture.
import { api } from "./api.js";

const TUTORIAL = "Comfy.TutorialCompleted";
const OPEN = "rehearsal.open";
const CONTROL = "control after generate"; // of a seed; not an input of its node
const WIDGETS = new Set(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"]);
const BUILT_IN = {
  nodes: [{ id: 1, type: "CheckpointLoaderSimple", widgets_values: ["v1-5-pruned-emaonly-fp16.safetensors"] }],
  links: [],
  version: 0.4,
};

class Settings {
  values = {};
  get = (id) => this.values[id];
  set = async (id, value) => {
    this.values[id] = value;
    await api.post(`/settings/${id}`, value);
  };
}

class Workflows {
  files = [];
  async loadWorkflows() {
    const paths = await api.json("/userdata?dir=workflows&recurse=true");
    this.files = paths.map((path) => new Workflow(`workflows/${path}`));
  }
  getWorkflowByPath = (path) => this.files.find((file) => file.path === path) ?? null;
}

class Workflow {
  constructor(path) {
    this.path = path;
    this.filename = path.split("/").pop().replace(/\.json$/, "");
  }
  async load() {
    this.content = await (await api.getUserData(this.path)).json();
  }
}

class App {
  graph = { _nodes: [], links: [] };
  extensions = [];
  extensionManager = { setting: new Settings(), workflow: new Workflows() };

  registerExtension(extension) {
    this.extensions.push(extension);
  }

  async start() {
    document.querySelector("button").onclick = () => this.queuePrompt();
    for (const [type, heard] of Object.entries(this.heard)) api.addEventListener(type, heard);
    [this.classes, this.extensionManager.setting.values] = await Promise.all([
      api.json("/object_info"), api.json("/settings"), api.listen(),
    ]);
    await Promise.all((await api.json("/extensions")).map((script) => import(script)));
    await Promise.all(this.extensions.map((extension) => extension.setup?.(this)));
    await this.openFirst();
  }

  // As useWorkflowPersistence of ComfyUI's page does: what was open, else the chooser or a built-in graph.
  async openFirst() {
    const open = JSON.parse(localStorage.getItem(OPEN));
    if (open) return this.loadGraphData(open.graph, true, true, open.name);
    if (!this.extensionManager.setting.get(TUTORIAL)) {
      await this.extensionManager.setting.set(TUTORIAL, true);
      return this.choose();
    }
    return this.loadGraphData();
  }

  choose() {
    const dialog = document.body.appendChild(document.createElement("dialog"));
    dialog.setAttribute("role", "dialog");
    dialog.textContent = "Get started with a template";
    dialog.show();
  }

  async loadGraphData(graph = BUILT_IN, clean = true, restoreView = true, workflow = "Unsaved Workflow") {
    this.name = workflow?.filename ?? workflow;
    this.graph = { _nodes: structuredClone(graph.nodes), links: structuredClone(graph.links) };
    localStorage.setItem(OPEN, JSON.stringify({ name: this.name, graph }));
    document.title = `${this.name} - ComfyUI`;
    document.querySelector("h1").textContent = this.name;
    document.querySelector("main").replaceChildren(...this.graph._nodes.map((node) => this.drawn(node)));
  }

  drawn(node) {
    node.element = document.createElement("section");
    const title = node.element.appendChild(document.createElement("h2"));
    title.textContent = node.title ?? this.classes[node.type]?.display_name ?? node.type;
    const list = node.element.appendChild(document.createElement("dl"));
    for (const [name, value] of this.widgets(node)) {
      list.appendChild(document.createElement("dt")).textContent = name;
      list.appendChild(document.createElement("dd")).textContent = value;
    }
    return node.element;
  }

  // Names and values of a node's widgets, in their order; a seed is followed by what becomes of it after a run.
  widgets(node) {
    const { required = {}, optional = {} } = this.classes[node.type]?.input ?? {};
    const names = Object.entries({ ...required, ...optional }).flatMap(([name, [type, more]]) => {
      if (!Array.isArray(type) && !WIDGETS.has(type)) return [];
      return more?.control_after_generate ? [name, CONTROL] : [name];
    });
    return names.map((name, index) => [name, node.widgets_values?.[index]]);
  }

  // The graph as /prompt takes it.
  prompt() {
    const sources = Object.fromEntries(this.graph.links.map(([id, from, slot]) => [id, [String(from), slot]]));
    const given = ([name, value]) => name !== CONTROL && value !== undefined;
    const linked = (node) => (node.inputs ?? []).map((input) => [input.name, sources[input.link]]);
    return Object.fromEntries(this.graph._nodes.map((node) => [node.id, {
      class_type: node.type,
      inputs: Object.fromEntries([...this.widgets(node), ...linked(node)].filter(given)),
    }]));
  }

  async queuePrompt() {
    this.say("");
    const answer = await api.post("/prompt", { prompt: this.prompt(), client_id: api.clientId });
    if (!answer.ok) return this.say((await answer.json()).error.message);
    for (const node of this.graph._nodes) {
      const widgets = this.widgets(node);
      const after = widgets.findIndex(([name, value]) => name === CONTROL && value === "randomize");
      if (after < 1) continue;
      node.widgets_values[after - 1] = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
      node.element.querySelectorAll("dd")[after - 1].textContent = node.widgets_values[after - 1];
    }
  }

  heard = {
    executing: ({ detail }) => {
      for (const { id, element } of this.graph._nodes) element.classList.toggle("running", String(id) === detail.node);
    },
    executed: ({ detail }) => {
      const node = this.graph._nodes.find(({ id }) => String(id) === detail.node);
      if (!node) return;
      node.element.querySelectorAll("img").forEach((old) => old.remove());
      node.imgs = [];
      for (const image of detail.output.images ?? []) {
        const shown = node.element.appendChild(document.createElement("img"));
        shown.alt = image.filename;
        shown.onload = () => node.imgs.push(shown);
        shown.src = `/api/view?${new URLSearchParams(image)}`;
      }
    },
    execution_error: ({ detail }) => this.say(detail.exception_message),
  };

  say(text) {
    document.querySelector("[role=alert]").textContent = text;
  }
}

export const app = new App();
window.app = app;
