-- Sends the requests of a file in turn. A line is a path, the Authorization header or nothing, and what is posted or
-- nothing, between tabs. Counts the answers by status, if it is told so.
local requests, last = {}, 0
local threads, statuses = {}, {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  for line in io.lines(arguments[1]) do
    local path, authorization, body = line:match("^(.-)\t(.-)\t(.*)$")
    local headers = {}
    if authorization ~= "" then headers["Authorization"] = authorization end
    if body ~= "" then
      headers["Content-Type"] = "application/json"
      requests[#requests + 1] = wrk.format("POST", path, headers, body)
    else
      requests[#requests + 1] = wrk.format("GET", path, headers)
    end
  end
  if arguments[2] == "statuses" then
    counted = {}
    response = function(status)
      counted[status] = (counted[status] or 0) + 1
    end
    local pause = tonumber(arguments[3])
    if pause > 0 then
      delay = function()
        return math.random(0, 2 * pause)  -- so that they do not all come at once
      end
    end
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors, parts = summary.errors, {}
  for _, thread in ipairs(threads) do
    for status, number in pairs(thread:get("counted") or {}) do
      parts[#parts + 1] = string.format('"%d": %d', status, number)
    end
  end
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %d, "p99": %d, "failed": %d, "lost": %d, "statuses": {%s}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(parts, ", ")))
end
