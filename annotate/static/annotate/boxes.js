// Draws what the detectors saw over the frame that a clip shows, while it plays and when it is stepped.

"use strict";

{
  const SVG = "http://www.w3.org/2000/svg";
  const following = new WeakSet();

  function rect(box, name) {
    const element = document.createElementNS(SVG, "rect");
    element.setAttribute("class", name);
    element.setAttribute("x", box.left);
    element.setAttribute("y", box.top);
    element.setAttribute("width", box.width);
    element.setAttribute("height", box.height);
    return element;
  }

  // The newest frame that was looked at, up to the one shown.
  function seenAt(frames, index) {
    let found = frames[0];
    for (const frame of frames) {
      if (frame.index > index) break;
      found = frame;
    }
    return found;
  }

  function draw(svg, record, index) {
    const frame = seenAt(record.frames, index);
    svg.dataset.frame = frame.index;
    svg.replaceChildren(
      ...frame.humans.map((box) => rect(box, box.is_estimated ? "human estimated" : "human")),
      ...frame.faces.map((box) => rect(box, "face")),
    );
  }

  async function follow(video) {
    const shown = video.closest("[data-annotation]");
    if (!shown || following.has(video)) return;
    following.add(video);
    const answer = await fetch(shown.dataset.annotation);
    if (!answer.ok) {
      following.delete(video);
      return;
    }
    const record = await answer.json();
    const svg = shown.querySelector(".boxes");
    svg.setAttribute("viewBox", `0 0 ${record.width} ${record.height}`);
    const next = (now, { mediaTime }) => {
      draw(svg, record, Math.round(mediaTime * record.fps));
      video.requestVideoFrameCallback(next);
    };
    // The frame that is on screen already; the callback tells of the following ones.
    draw(svg, record, Math.floor(video.currentTime * record.fps + 0.001));
    video.requestVideoFrameCallback(next);
  }

  // Media events do not bubble, and the list of references may be renewed: so they are caught on the way down.
  for (const name of ["play", "seeking"]) {
    document.addEventListener(name, ({ target }) => { if (target instanceof HTMLVideoElement) follow(target); }, true);
  }
}
