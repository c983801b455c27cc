SELECT concat('{"name":', to_json(t0."name")::text, '}'), (t0."id")::text
FROM "categories" AS t0
WHERE NOT coalesce(t0."parent_id" IN (SELECT t1."id"
    FROM "categories" AS t1
    WHERE t1."name" = $1::text), FALSE)
ORDER BY t0."id"
LIMIT $2::bigint
