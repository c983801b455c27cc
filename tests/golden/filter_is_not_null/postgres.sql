SELECT concat('{"name":', to_json(t0."name")::text, ',"harvested":', coalesce('"' || (t0."harvested")::text || '"', 'null'), '}'), (t0."harvested")::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."harvested" IS NOT NULL)
ORDER BY t0."harvested" DESC, t0."id" DESC
LIMIT $3::bigint
