SELECT concat('{"name":', json_quote(t0."name"), ',"caption":', json_quote(((t0."name" || ?1) || coalesce(t0."subtitle", ?2))), ',"speed":', json_quote(CASE WHEN t0."brewing" IS NULL THEN ?3 ELSE CASE WHEN coalesce(t0."brewing", ?4) < ?5 THEN ?6 ELSE ?7 END END), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?8
  AND (t0."released_at" IS NULL
    OR ?9 >= t0."released_at")
  AND CASE WHEN t0."brewing" IS NULL THEN ?10 ELSE CASE WHEN coalesce(t0."brewing", ?11) < ?12 THEN ?13 ELSE ?14 END END = ?15
  AND instr(((t0."name" || ?16) || coalesce(t0."subtitle", ?17)), ?18) > 0)
ORDER BY t0."id"
LIMIT ?19
