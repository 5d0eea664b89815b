/* One zoom and one place for everything on the stage. Scaling is smooth: blocks would hide a small face. */
"use strict";

/** Percent of a clip's own pixels; those that are larger than the fitted clip can be chosen. */
const ZOOMS = [100, 200, 400, 800, 1600, 3200];
/** Shares of the view that one key press moves it. */
const PAN_STEP = 0.05;

class Zoom {
  constructor(stage) {
    this.stage = stage;
    this.level = 0;
    this.x = this.y = 0;
    stage.addEventListener("pointerdown", (event) => this.grab(event));
  }

  /** How much larger than its own pixels a clip is when it fits. */
  get fitted() {
    const { videoWidth, videoHeight, clientWidth, clientHeight } = this.stage.querySelector("[data-cell=left] video");
    return videoWidth ? Math.min(clientWidth / videoWidth, clientHeight / videoHeight) : 1;
  }

  get levels() {
    return [0, ...ZOOMS.filter((percent) => percent > 125 * this.fitted).slice(0, 3)];
  }

  get words() {
    return this.level ? `${this.level} %` : "Fit";
  }

  get scale() {
    return this.level ? Math.max(1, this.level / 100 / this.fitted) : 1;
  }

  cycle() {
    const { levels } = this;
    this.level = levels[(levels.indexOf(this.level) + 1) % levels.length];
    this.pan(0, 0);
  }

  /** Move by shares of the view, no further than the clip reaches. */
  pan(x, y) {
    const reach = (this.scale - 1) / 2;
    this.x = Math.min(reach, Math.max(-reach, this.x + x));
    this.y = Math.min(reach, Math.max(-reach, this.y + y));
    this.draw();
  }

  draw() {
    const { scale } = this;
    const place = scale > 1 ? `translate(${100 * this.x}%, ${100 * this.y}%) scale(${scale})` : "";
    this.stage.classList.toggle("zoomed", scale > 1);
    for (const medium of this.stage.querySelectorAll(".view > *")) medium.style.transform = place;
  }

  grab({ target, pointerId }) {
    if (this.scale === 1 || !target.closest(".view")) return;
    const { clientWidth, clientHeight } = target;
    this.isDragged = false;
    const drag = (event) => {
      if (event.pointerId !== pointerId) return;
      if (Math.abs(event.movementX) + Math.abs(event.movementY) > 0) this.isDragged = true;
      this.pan(event.movementX / clientWidth, event.movementY / clientHeight);
    };
    const drop = () => {
      removeEventListener("pointermove", drag);
      // The click that ends a drag comes right after this.
      setTimeout(() => (this.isDragged = false));
    };
    addEventListener("pointermove", drag);
    addEventListener("pointerup", drop, { once: true });
  }
}
