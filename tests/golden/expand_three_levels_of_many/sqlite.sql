SELECT ('{' || '"products":' || (SELECT '[' || coalesce(group_concat(j, ','), '') || ']'
    FROM (SELECT ('{' || '"reviews":' || (SELECT '[' || coalesce(group_concat(j, ','), '') || ']'
          FROM (SELECT ('{' || '"author":' || CASE WHEN t5."id" IS NULL THEN 'null' ELSE json_object('name', t5."name") END || ',' || substr(json_object('stars', t4."stars"), 2)) AS j
            FROM "reviews" AS t4
            LEFT JOIN "customers" AS t5 ON t5."id" = t4."author_id"
            WHERE t4."product_id" = t2."id"
            AND t4."hidden" = ?1
            ORDER BY t4."stars", t4."text", t4."id"
            LIMIT ?2)) || ',' || substr(json_object('name', t2."name"), 2)) AS j
      FROM "products" AS t2
      WHERE t2."category_id" = t0."id"
      AND EXISTS (SELECT 1
        FROM "reviews" AS t3
        WHERE t3."product_id" = t2."id"
        AND t3."stars" >= ?3)
      ORDER BY t2."price" DESC, t2."id" DESC
      LIMIT ?4)) || ',' || substr(json_object('name', t0."name"), 2)), t0."id"
FROM "categories" AS t0
WHERE t0."parent_id" IN (SELECT t1."id"
  FROM "categories" AS t1
  WHERE t1."slug" = ?5)
ORDER BY t0."id"
LIMIT ?6
