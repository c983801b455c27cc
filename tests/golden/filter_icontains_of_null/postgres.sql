SELECT concat('{"name":', to_json(t0."name")::text, ',"subtitle":', coalesce(to_json(t0."subtitle")::text, 'null'), '}'), (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND NOT coalesce(strpos(t0."subtitle__folded", $3::text) > 0, FALSE))
ORDER BY t0."id"
LIMIT $4::bigint
