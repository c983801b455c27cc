SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*), max(k0) FILTER (WHERE n = $3::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"labels":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"name":', to_json(t2."name"), ',"internal":', CASE WHEN t2."internal" THEN 'true' WHEN NOT t2."internal" THEN 'false' ELSE 'null' END, '}') AS j
          FROM "product_labels" AS t1
          JOIN "labels" AS t2 ON t2."id" = t1."label_id"
          WHERE t1."product_id" = t0."id"
          ORDER BY t2."name", t2."id"
          LIMIT $1::bigint) AS rows), '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE t0."id" = ANY($2::uuid[])
    ORDER BY t0."id"
    LIMIT $3::bigint) AS page) AS numbered
