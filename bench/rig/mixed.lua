-- wrk: all paths in turn, or those behind `--`. With REQUESTS in the environment each thread stops after that many answers.
local paths = { "/index", "/agents", "/agents_with_orm", "/agent_logins" }
local limit = tonumber(os.getenv("REQUESTS") or "")
local sent, answered = 0, 0

function init(args)
  if #args > 0 then
    paths = args
  end
end

function request()
  sent = sent + 1
  return wrk.format("GET", paths[sent % #paths + 1])
end

if limit then
  function response()
    answered = answered + 1
    if answered >= limit then
      wrk.thread:stop()
    end
  end
end
