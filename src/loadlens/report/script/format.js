// Figures as text, in the formats of the tables.
const NOTHING = "–";

// A value in the middle of two goes to the even one, as in Python.
function rounded(value, decimals) {
  const scaled = value * 10 ** decimals;
  const isHalf = Math.abs(scaled % 1) === 0.5 && /50{20}$/.test(value.toFixed(decimals + 21));
  const even = 2 * Math.round(scaled / 2);
  return (isHalf ? even / 10 ** decimals : value).toFixed(decimals);
}

// With commas between thousands; by hand, as toLocaleString takes some 30 times as long.
function grouped(value, decimals = 0) {
  const [whole, rest] = rounded(value, decimals).split(".");
  const told = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return rest ? `${told}.${rest}` : told;
}

function significant(value, decimals) {
  if (value === 0) return "0";
  return grouped(value, Math.min(20, Math.max(decimals, 2 - Math.floor(Math.log10(Math.abs(value))))));
}

const FORMATS = {
  count: (value) => grouped(value),
  measure: (value) => {
    const size = Math.abs(value);
    if (size >= 1000) return grouped(value);
    return size >= 10 ? rounded(value, 1) : significant(value, 2);
  },
  share: (value) => {
    if (value === 0) return "0%";
    return value >= 0.0001 ? `${rounded(100 * value, 2)}%` : "<0.01%";
  },
};

const shown = (format, value) =>
  value === null || value === undefined || Number.isNaN(value) ? NOTHING : FORMATS[format](value);
const counted = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;

const boundText = (run) => `${(100 * run.relative_error).toFixed(1)}\u00a0%`;

// A length of time: 1:02:03 or 2:03.
function clock(seconds) {
  const whole = Math.round(seconds);
  const pad = (part) => String(part).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

// From one time of the run's clock to another; a date is said once.
function stretch(run, begin, end) {
  const [first, last] = [moment(run, begin), moment(run, end)];
  const isOneDay = run.is_calendar && first.slice(0, 10) === last.slice(0, 10);
  return `${first} to ${isOneDay ? last.slice(11) : last}${run.is_calendar ? " UTC" : ""}`;
}

// A time of the run's clock: since the run began, or the calendar's time in UTC.
function moment(run, seconds) {
  if (!run.is_calendar) return clock(seconds - run.start_s);
  return new Date(1000 * seconds).toISOString().slice(0, 19).replace("T", " ");
}
