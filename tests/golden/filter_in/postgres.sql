SELECT concat('{"name":', to_json(t0."name")::text, ',"origin":', coalesce(to_json(t0."origin")::text, 'null'), '}'), (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."origin" = ANY($3::text[]))
ORDER BY t0."id"
LIMIT $4::bigint
