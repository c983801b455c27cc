SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"parent":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t1."name"), '}') END, ',"children":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"name":', to_json(t2."name"), '}') AS j
          FROM "categories" AS t2
          WHERE t2."parent_id" = t0."id"
          ORDER BY t2."id"
          LIMIT $1::bigint) AS rows), ',"products":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"name":', to_json(t3."name"), '}') AS j
          FROM "products" AS t3
          WHERE t3."category_id" = t0."id"
          AND (t3."state" = $2::text
            AND (t3."released_at" IS NULL
              OR $3::timestamptz >= t3."released_at"))
          ORDER BY t3."id"
          LIMIT $4::bigint) AS rows), '}') AS j, (t0."id")::text AS k0
    FROM "categories" AS t0
    LEFT JOIN "categories" AS t1 ON t1."id" = t0."parent_id"
    WHERE t0."slug" = $5::text
    ORDER BY t0."id"
    LIMIT $6::bigint) AS page) AS numbered
