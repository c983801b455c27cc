SELECT concat('{"name":', to_json(t0."name")::text, ',"parent":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t1."name")::text, '}') END, ',"children":', (SELECT concat('[', string_agg(j, ','), ']')
    FROM (SELECT concat('{"name":', to_json(t2."name")::text, '}') AS j
      FROM "categories" AS t2
      WHERE t2."parent_id" = t0."id"
      ORDER BY t2."id"
      LIMIT $1::bigint) AS rows), ',"products":', (SELECT concat('[', string_agg(j, ','), ']')
    FROM (SELECT concat('{"name":', to_json(t3."name")::text, '}') AS j
      FROM "products" AS t3
      WHERE t3."category_id" = t0."id"
      AND (t3."state" = $2::text
        AND (t3."released_at" IS NULL
          OR $3::timestamptz >= t3."released_at"))
      ORDER BY t3."id"
      LIMIT $4::bigint) AS rows), '}'), (t0."id")::text
FROM "categories" AS t0
LEFT JOIN "categories" AS t1 ON t1."id" = t0."parent_id"
WHERE t0."slug" = $5::text
ORDER BY t0."id"
LIMIT $6::bigint
