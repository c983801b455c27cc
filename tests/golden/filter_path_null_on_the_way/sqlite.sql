SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "categories" AS t0
WHERE NOT coalesce(t0."parent_id" IN (SELECT t1."id"
    FROM "categories" AS t1
    WHERE t1."name" = ?1), 0)
ORDER BY t0."id"
LIMIT ?2
