SELECT concat('{"name":', to_json(t0."name")::text, ',"brewing":', coalesce('"' || CASE WHEN t0."brewing" < 0 THEN '-' ELSE '' END || 'PT' || (abs(t0."brewing") / 1000000)::text || CASE WHEN abs(t0."brewing") % 1000000 = 0 THEN '' ELSE '.' || lpad((abs(t0."brewing") % 1000000)::text, 6, '0') END || 'S"', 'null'), '}'), (t0."brewing")::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."brewing" <= $3::bigint)
ORDER BY t0."brewing", t0."id"
LIMIT $4::bigint
