// Axes: where values lie, and which of them are named.

// Logarithmic where values span more than two decades, else linear from 0.
function scaleOf(values, height, isLinear = false) {
  const some = values.filter((value) => value > 0);
  const [least, most] = [Math.min(...some), Math.max(...some)];
  if (!some.length) return { y: () => height, ticks: [0] };
  if (most / least > 100 && !isLinear) return logScale(least, most, height);
  const step = niceStep(most / 4);
  const top = Math.ceil(most / step) * step;
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
  return { y: (value) => height * (1 - value / top), ticks };
}

function logScale(least, most, height) {
  const [low, high] = [Math.log10(least), Math.max(Math.log10(most), Math.log10(least) + 0.01)];
  const y = (value) => height * (1 - (Math.log10(Math.max(value, least)) - low) / (high - low));
  return { y, ticks: decades(least, most) };
}

// 1, 2 and 5 times powers of ten from one value to another; of many, the powers alone.
function decades(least, most) {
  const found = [];
  const parts = most / least > 1000 ? [1] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
    for (const part of parts) found.push(part * 10 ** power);
  }
  return found.filter((value) => value >= least * 0.999 && value <= most * 1.001);
}

function niceStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].map((part) => part * power).find((nice) => nice >= step * 0.999);
}

// Round times between two, at most so many.
function timeTicks(begin, end, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  let step = steps.find((one) => (end - begin) / one <= most);
  step ??= 86400 * niceStep((end - begin) / most / 86400);
  const found = [];
  for (let time = Math.ceil(begin / step) * step; time <= end; time += step) found.push(time);
  return found;
}
