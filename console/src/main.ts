import { createApp } from "vue";
import App from "./App.vue";
import "./style.css";

const place = document.querySelector<HTMLElement>("#console")!;
createApp(App, { name: place.dataset.name ?? "" }).mount(place);
