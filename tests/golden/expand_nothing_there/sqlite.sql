SELECT concat('{"name":', json_quote(t0."name"), ',"parent":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"name":', json_quote(t1."name"), '}') END, ',"children":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"name":', json_quote(t2."name"), '}') AS j
      FROM "categories" AS t2
      WHERE t2."parent_id" = t0."id"
      ORDER BY t2."id"
      LIMIT ?1)), ',"products":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"name":', json_quote(t3."name"), '}') AS j
      FROM "products" AS t3
      WHERE t3."category_id" = t0."id"
      AND (t3."state" = ?2
        AND (t3."released_at" IS NULL
          OR ?3 >= t3."released_at"))
      ORDER BY t3."id"
      LIMIT ?4)), '}'), t0."id"
FROM "categories" AS t0
LEFT JOIN "categories" AS t1 ON t1."id" = t0."parent_id"
WHERE t0."slug" = ?5
ORDER BY t0."id"
LIMIT ?6
