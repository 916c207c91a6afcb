// The server, as the page and its extensions talk to it.

class Api extends EventTarget {
  clientId = crypto.randomUUID();

  fetchApi(route, options) {
    return fetch(`/api${route}`, options);
  }

  async json(route) {
    return (await this.fetchApi(route)).json();
  }

  post(route, body) {
    return this.fetchApi(route, { method: "POST", body: JSON.stringify(body) });
  }

  getUserData(path) {
    return this.fetchApi(`/userdata/${encodeURIComponent(path)}`);
  }

  listen() {
    // What the server says comes as events of the same names; previews, which are binary, are passed over.
    const socket = new WebSocket(`ws://${location.host}/ws?clientId=${this.clientId}`);
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return;
      const { type, data: detail } = JSON.parse(data);
      this.dispatchEvent(new CustomEvent(type, { detail }));
    };
    return new Promise((done) => (socket.onopen = done));
  }
}

export const api = new Api();
