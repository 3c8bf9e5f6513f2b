// Pan, zoom and search on the map; and word of changes. Every page works without it.
"use strict";
(() => {
  const root = document.body.dataset.root;
  const live = document.getElementById("live");

  // Where somebody looks stays when the page is renewed, as long as the map is as large as before.
  let looked = null;

  const map = () => {
    const box = document.getElementById("map");
    const svg = box && box.querySelector("svg");
    if (!svg) return;
    // Thin lines are hard to hit: each gets an invisible wide one.
    for (const path of svg.querySelectorAll(".edge > path:only-of-type")) {
      const wide = path.cloneNode();
      wide.classList.add("hit");
      path.after(wide);
    }
    const whole = svg.viewBox.baseVal;
    const home = [whole.x, whole.y, whole.width, whole.height];
    let view = home.slice();
    const show = () => { svg.setAttribute("viewBox", view.join(" ")); looked = { home: home.join(), view: view.slice() }; };
    // A large map begins as large as it can be read, at its upper left or in the middle; 0 shows all of it.
    const readable = 0.62;
    const scale = Math.min(box.clientWidth / home[2], box.clientHeight / home[3]);
    if (looked && looked.home === home.join()) {
      view = looked.view.slice();
      show();
    } else if (scale < readable) {
      const [width, height] = [box.clientWidth / readable, box.clientHeight / readable];
      view = [width < home[2] ? 0 : (home[2] - width) / 2, height < home[3] ? 0 : (home[3] - height) / 2, width, height];
      show();
    }
    const zoom = (factor, x = 0.5, y = 0.5) => {
      const width = Math.min(home[2] * 2, Math.max(120, view[2] * factor));
      const real = width / view[2];
      view = [view[0] + view[2] * (1 - real) * x, view[1] + view[3] * (1 - real) * y, view[2] * real, view[3] * real];
      show();
    };
    const pan = (dx, dy) => { view[0] += dx * view[2]; view[1] += dy * view[3]; show(); };
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      const at = svg.getBoundingClientRect();
      zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, (event.clientX - at.x) / at.width, (event.clientY - at.y) / at.height);
    }, { passive: false });
    let from = null, moved = false;
    box.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; moved = false; });
    window.addEventListener("pointermove", (event) => {
      if (!from) return;
      const at = svg.getBoundingClientRect();
      const dx = event.clientX - from[0], dy = event.clientY - from[1];
      if (Math.abs(dx) + Math.abs(dy) < 4 && !moved) return;
      moved = true;
      box.classList.add("drag");
      pan(-dx / at.width, -dy / at.height);
      from = [event.clientX, event.clientY];
    });
    window.addEventListener("pointerup", () => { from = null; box.classList.remove("drag"); });
    box.addEventListener("click", (event) => { if (moved) event.preventDefault(); }, true);
    box.addEventListener("dragstart", (event) => event.preventDefault());
    box.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
      if (steps[event.key]) pan(...steps[event.key]);
      else if (event.key === "+" || event.key === "=") zoom(0.8);
      else if (event.key === "-") zoom(1.25);
      else if (event.key === "0") { view = home.slice(); show(); }
      else return;
      event.preventDefault();
    });
    const search = document.getElementById("search");
    const find = () => {
      const wanted = search.value.trim().toLowerCase();
      let count = 0;
      for (const node of svg.querySelectorAll(".node")) {
        const hit = wanted !== "" && node.dataset.name.includes(wanted);
        node.classList.toggle("hit", hit);
        if (hit) count += 1;
      }
      svg.classList.toggle("found", count > 0);
      live.textContent = wanted === "" ? "" : `${count} found`;
    };
    if (search) search.addEventListener("input", find);
  };

  const isBusy = () => {
    const at = document.activeElement;
    const typing = at && ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName);
    return typing || document.querySelector("main input:checked[name=one]") || document.getElementById("answer");
  };

  // A new state: the page is taken anew, unless somebody is writing or choosing in it.
  const isInUse = () => {
    // What was decided is an answer to a form: loading it again would send that again.
    if (document.getElementById("decided")) return true;
    if (isBusy()) live.textContent = "There is something new: reload to see it.";
    return isBusy();
  };
  const renew = async (version) => {
    if (isInUse()) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Somebody may have begun while it came.
    if (isInUse()) return;
    for (const part of ["main", "nav", "title"]) document.querySelector(part).replaceWith(page.querySelector(part));
    document.body.dataset.version = version;
    live.textContent = "Updated.";
    map();
  };

  map();
  const source = new EventSource(`${root}changes`);
  source.onmessage = (event) => { if (Number(event.data) > Number(document.body.dataset.version)) renew(event.data); };
  source.onerror = () => { live.textContent = "No word from nanoseg: does it run?"; };
  source.onopen = () => { live.textContent = ""; };
})();
